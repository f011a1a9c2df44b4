"""Architectures and conditions held against each other: statistics over training seeds, costs, a decision."""
