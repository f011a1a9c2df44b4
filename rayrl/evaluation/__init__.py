"""Evaluation on fixed seeds: who acts, what came of it, and how sure one can be."""
