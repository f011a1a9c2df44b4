"""Networks, action distributions, and policies that are saved, loaded and act."""
