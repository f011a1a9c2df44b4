"""Behaviour cloning (Pomerleau 1989)."""

from rayrl.algorithms.bc.config import BC, BCConfig

__all__ = ["BC", "BCConfig"]
