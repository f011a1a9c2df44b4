"""What the algorithms that learn from replay share: the lockstep of sampling and learning, and its pace."""
