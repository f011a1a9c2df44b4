"""Benchmarks against bare loops and peers: ``make bench``."""
