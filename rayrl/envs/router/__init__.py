"""The LLM-serving router: a simulated fleet of replicas, and one routing decision per request."""
