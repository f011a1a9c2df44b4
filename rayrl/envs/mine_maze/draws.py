"""Random numbers of levels: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), the same on every machine for ever.

NumPy's generators may change what they draw between versions; a level must not.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@njit
def _mixed(z):  # type: ignore[no-untyped-def]
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def stream(words: NDArray[np.uint64], state: NDArray[np.uint64]) -> None:
    """Begins in ``state`` (1,) the stream that the words name."""
    z = np.uint64(0)
    for word in words:
        z = _mixed((z ^ word) + _GAMMA)
    state[0] = z


@njit
def below(state, n):  # type: ignore[no-untyped-def]
    """An integer in [0, n), n far below 2³¹."""
    state[0] += _GAMMA
    return np.int64(_mixed(state[0]) >> np.uint64(33)) % n


@njit
def between(state, least, most):  # type: ignore[no-untyped-def]
    """An integer in [least, most]."""
    return least + below(state, most - least + 1)
