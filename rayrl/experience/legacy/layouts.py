"""Which of the known layouts a foreign object has, and its contents as arrays and JSON values."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict, defaultdict, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.legacy.arrays import Array
from rayrl.experience.legacy.unpickler import TrajectoryInfo

REPLAY_BUFFER = "replay buffer"
DEMONSTRATIONS = "demonstrations"
LEVEL = "level"

KNOWN = (
    "a replay buffer is a dict with 'obs', 'acts', 'rews', 'dones' and 'trajectories', demonstrations are a "
    "dict with 'demo_data' and 'stats', a level is a dict with 'level_id' and 'map_data'"
)
_BUFFER_KEYS = {"obs", "acts", "rews", "dones", "trajectories", "capacity", "size", "pos"}
_SCALARS = ("capacity", "size", "pos", "global_step", "fragment_length", "env_obs_shape", "env_act_shape")
_DEEPEST = 16


class LayoutError(Exception):
    """The object is of no known layout, or not as its layout asks for; the message is a phrase."""


class Contents:
    """What one file holds.

    Attributes:
        layout: which of the layouts.
        values: plain JSON values.
        arrays: by name.
        dropped: what was passed over, each with how many and why.
    """

    def __init__(self, layout: str) -> None:
        self.layout = layout
        self.values: dict[str, Any] = {}
        self.arrays: dict[str, NDArray[Any]] = {}
        self.dropped: dict[str, int] = {}

    def drop(self, reason: str, count: int = 1) -> None:
        """Notes that something is passed over."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count


def contents_of(value: Any) -> Contents:
    """Takes an unpickled object apart.

    Raises:
        LayoutError: it is of no known layout, or a part is missing or of another type.
    """
    if not isinstance(value, dict):
        raise LayoutError(f"holds a {type(value).__name__}, and no known layout: {KNOWN}")
    if value.keys() >= _BUFFER_KEYS:
        return _replay_buffer(value)
    if "demo_data" in value:
        return _demonstrations(value)
    if "map_data" in value and "level_id" in value:
        return _level(value)
    keys = ", ".join(repr(str(key)[:40]) for key in list(value)[:8])
    raise LayoutError(f"holds a dict with {keys or 'no keys'}, and no known layout: {KNOWN}")


def _replay_buffer(value: dict[Any, Any]) -> Contents:
    found = Contents(REPLAY_BUFFER)
    for name in ("obs", "acts", "rews", "dones"):
        found.arrays[name] = _array(value[name], name)
    lengths = {name: len(array) for name, array in found.arrays.items()}
    if len(set(lengths.values())) != 1 or not all(array.ndim >= 1 for array in found.arrays.values()):
        raise LayoutError(f"has columns of different lengths: {lengths}")
    for name in _SCALARS:
        if name in value:
            found.values[name] = _json(value[name], found)
    for name in ("capacity", "size", "pos"):
        if type(found.values[name]) is not int or found.values[name] < 0:
            raise LayoutError(f"has {name} {found.values[name]!r}, where a number is due")
    if found.values["capacity"] != lengths["obs"] or found.values["size"] > lengths["obs"]:
        raise LayoutError(
            f"has {lengths['obs']} rows, capacity {found.values['capacity']} and size {found.values['size']}"
        )
    infos = [_info(one) for one in _sequence(value["trajectories"], "trajectories")]
    for name in ("start_pos", "length"):
        numbers = [info.get(name) for info in infos]
        if not all(type(number) is int and abs(number) < 1 << 48 for number in numbers):
            raise LayoutError(f"has a trajectory without {name}")
        found.arrays[name] = np.array(numbers, np.int64)
    found.arrays["val"] = np.array([str(info.get("split")) == "val" for info in infos], np.bool_)
    scored = sum(1 for info in infos if info.get("on_policiness_score") not in (0, None))
    found.values["scored"] = scored
    return found


def _info(one: Any) -> dict[str, Any]:
    if isinstance(one, TrajectoryInfo):
        return one.fields
    if isinstance(one, dict):
        return one
    raise LayoutError(f"has a {type(one).__name__} among its trajectories")


def _demonstrations(value: dict[Any, Any]) -> Contents:
    found = Contents(DEMONSTRATIONS)
    samples = _sequence(value["demo_data"], "demo_data")
    states: list[NDArray[Any]] = []
    actions: list[int] = []
    names: dict[str, int] = {}
    policies: list[int] = []
    for sample in samples:
        if not isinstance(sample, dict):
            found.drop("samples that are no dict")
            continue
        state, action = _state(sample.get("state")), sample.get("action")
        if state is None:
            found.drop("samples whose state is no vector of numbers")
        elif states and len(state) != len(states[0]):
            found.drop(f"samples whose state has another length than the first one's {len(states[0])}")
        elif type(action) is not int or not 0 <= action < 1 << 31:
            found.drop("samples whose action is no number from 0 on")
        else:
            states.append(state)
            actions.append(action)
            name = sample.get("policy", sample.get("strategy"))
            policies.append(names.setdefault(str(name) if isinstance(name, str) else "", len(names)))
    if not states:
        raise LayoutError(f"has no usable sample among {len(samples)}")
    found.arrays = {
        "states": np.stack(states),
        "actions": np.array(actions, np.int64),
        "policy": np.array(policies, np.int32),
    }
    found.values = {"policies": list(names), "stats": _json(value.get("stats"), found)}
    return found


def _state(value: Any) -> NDArray[np.float32] | None:
    values = value.values if isinstance(value, Array) else value
    if isinstance(values, list | tuple):
        if not all(type(one) in (int, float, bool) for one in values):
            return None
        values = np.array(values, np.float32)
    if not isinstance(values, np.ndarray) or values.ndim != 1 or not len(values):
        return None
    return values.astype(np.float32)


def _level(value: dict[Any, Any]) -> Contents:
    found = Contents(LEVEL)
    cells = value["map_data"]
    if isinstance(cells, Array) and cells.values is not None:
        cells = cells.values.reshape(-1).tolist()
    cells = list(cells) if isinstance(cells, bytes | bytearray) else cells
    if (
        not isinstance(cells, list)
        or not cells
        or not all(type(cell) is int and 0 <= cell < 256 for cell in cells)
    ):
        raise LayoutError("has map_data that is no list of bytes")
    known = ("level_id", "seed", "category")
    found.values = {
        **{name: _json(value.get(name), found) for name in known},
        "sha256": hashlib.sha256(bytes(cells)).hexdigest(),
        "map_data": cells,
        "metadata": _json(value.get("metadata", {}), found),
    }
    for name in value.keys() - {*known, "map_data", "metadata"}:
        found.drop(f"key {str(name)[:40]!r} of a level")
    return found


def _array(value: Any, name: str) -> NDArray[Any]:
    if isinstance(value, Array) and value.values is not None:
        return value.values
    raise LayoutError(f"has {name} that is neither an array nor a tensor")


def _sequence(value: Any, name: str) -> Any:
    if isinstance(value, list | tuple | deque):
        return value
    raise LayoutError(f"has {name} that is no list")


def _json(value: Any, found: Contents, depth: int = 0) -> Any:
    """A value as JSON has it; what it has no place for is noted, and null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < _DEEPEST:
        if isinstance(value, Array) and value.values is not None and value.values.size <= 1 << 16:
            return _json(value.values.tolist(), found, depth + 1)
        if type(value) in (list, tuple, deque):
            return [_json(one, found, depth + 1) for one in value]
        if type(value) in (dict, OrderedDict, defaultdict) and all(
            isinstance(key, str | int) for key in value
        ):
            return {str(key): _json(one, found, depth + 1) for key, one in value.items()}
    found.drop(f"{type(value).__name__} that has no JSON form")
    return None
