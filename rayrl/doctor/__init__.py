"""What stands in the way of a run on this machine, and what to do about it."""
