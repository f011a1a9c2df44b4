"""What environments share that step B episodes, side by side in arrays, by one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError, EnvError

Arrays = Mapping[str, NDArray[np.generic]]
Bounds = tuple[Any, Any]
"""Least and most: numbers, or arrays (k,) of one for each of k episodes."""


def seeds_of(seed: int | Sequence[int], num_envs: int, *, where: str) -> NDArray[np.uint64]:
    """(B,) the seeds that ``reset`` is given: ``seed + i``, modulo 2⁶⁴, or those listed.

    Raises:
        EnvError: one is no whole number in [0, 2⁶⁴).
    """
    several = np.ndim(seed) > 0
    listed: list[Any] = list(seed) if several else [seed]  # type: ignore[arg-type]
    for each in listed:
        if not isinstance(each, int | np.integer) or not 0 <= each < 2**64:
            raise EnvError(f"seed = {each!r}", where=where, remedy="give a whole number from 0 to 2**64 - 1")
    given = np.array(listed, np.uint64)
    seeds: Any = given if several else given + np.arange(num_envs, dtype=np.uint64)
    return np.asarray(seeds, np.uint64)


def check_one_each(name: str, values: NDArray[Any], num_envs: int, *, where: str) -> None:
    """Makes sure that there is one value for each episode.

    Raises:
        EnvError: there are more or fewer.
    """
    if values.shape != (num_envs,):
        raise EnvError(f"{name} of shape {values.shape} for {num_envs} environments", where=where)


def infos_of(numbers: Mapping[str, NDArray[np.float64]], ended: NDArray[np.bool_]) -> dict[str, Any]:
    """Gymnasium's ``infos`` of a step in which some episodes ended.

    Args:
        numbers: of those that ended, in order of their slots.
        ended: (B,) which they are.
    """
    infos: dict[str, Any] = {}
    for name, values in numbers.items():
        infos[name] = np.zeros(len(ended))
        infos[name][ended] = values
        infos[f"_{name}"] = ended.copy()
    return infos


def check_state(state: Arrays, arrays: Arrays) -> None:
    """Makes sure that a saved state is of the form of an environment's arrays.

    Raises:
        DataError: it is of another configuration or number of episodes.
    """
    if state.keys() != arrays.keys():
        names = ", ".join(sorted(state.keys() ^ arrays.keys()))
        raise DataError(f"not a state of this environment; missing or unknown: {names}")
    for name, array in arrays.items():
        if state[name].shape != array.shape:
            raise DataError(
                f"the state is of another configuration: {name} has shape {state[name].shape}, "
                f"expected {array.shape}"
            )
        if state[name].dtype != array.dtype:
            raise DataError(
                f"not a state of this environment: {name} is of {state[name].dtype}, not {array.dtype}"
            )


def check_bounds(state: Arrays, bounds: Mapping[str, Bounds], slots: Sequence[int], *, where: str) -> None:
    """Makes sure that a saved state's numbers are such as episodes come to.

    Compiled code takes them for indices and looks at none: one beyond its array would read, or write, other
    memory.

    Args:
        state: of the form of the environment's arrays.
        bounds: least and most of some arrays, by name.
        slots: k episodes whose numbers count.
        where: what to name in an error.

    Raises:
        DataError: naming the array, the number and its bounds.
    """
    for name, (least, most) in bounds.items():
        values: Any = state[name][list(slots)]
        low, high = np.broadcast_to(least, values.shape), np.broadcast_to(most, values.shape)
        outside = ~((values >= low) & (values <= high))  # NaN is
        if outside.any():
            first = tuple(np.argwhere(outside)[0])
            raise DataError(
                f"the state has {name} = {values[first]} in environment {slots[first[0]]}",
                where=where,
                remedy=f"it must be in {low[first]} to {high[first]}; the state was damaged or is another's",
            )
