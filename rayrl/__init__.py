"""rayrl: distributed reinforcement learning on Ray, from logged experience to compared policies."""
