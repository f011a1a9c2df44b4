"""How long PyTorch's threads spin while they wait for each other.

They spin for long by default. Where something else takes one of the CPUs, that slows them down tenfold;
without spinning they take twice as long on CPUs of their own. libgomp reads the variable when it is loaded,
with PyTorch.
"""

from __future__ import annotations

import os

VARIABLE = "GOMP_SPINCOUNT"
_ROUNDS = "10000"


def spin_count() -> str:
    """What ``VARIABLE`` is to be: what the user has set, or else few rounds."""
    return os.environ.get(VARIABLE, _ROUNDS)
