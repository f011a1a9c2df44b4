"""The replay buffer of an algorithm: its settings, what is drawn from it, what a checkpoint holds of it."""
