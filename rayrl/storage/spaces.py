"""Gymnasium spaces as plain JSON values, and in words where two of them differ.

The JSON form of a space is an object with a ``type`` and the arguments of its class::

    {"type": "Box", "dtype": "float32", "shape": [4], "low": "-inf", "high": [1.0, 1.0, 2.0, 2.0]}
    {"type": "Discrete", "dtype": "int64", "n": 3, "start": 0}
    {"type": "MultiDiscrete", "dtype": "int64", "nvec": [3, 2], "start": [0, 0]}
    {"type": "MultiBinary", "shape": [5]}
    {"type": "Text", "min_length": 1, "max_length": 16, "characters": "abc"}
    {"type": "Dict", "spaces": [["camera", {...}], ["speed", {...}]]}

A bound is one number where it holds for every element, else nested lists of the space's shape.
Infinities are the strings ``"inf"`` and ``"-inf"``, since JSON has no number for them. ``Dict`` is a list of
pairs because the order of its parts is the order in which a network reads them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rayrl.errors import SpaceError

JSONValue = None | bool | int | float | str | list[Any] | dict[str, Any]

_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
DTYPES = frozenset(map(np.dtype, ["bool", *_INTEGERS, "float16", "float32", "float64"]))
"""The element types that spaces and columns may have, in the machine's byte order."""


def leaf_spaces(space: gym.Space, name: str) -> dict[str, gym.Space]:
    """Flattens nested ``Dict`` spaces, in their own order.

    Args:
        space: any space; only ``Dict`` is taken apart.
        name: the name of ``space`` itself; a leaf below it is ``name/key`` or ``name/key/key``.

    Raises:
        SpaceError: a key is empty, no string or contains "/", or a ``Dict`` has no keys.
    """
    if not isinstance(space, gym.spaces.Dict):
        return {name: space}
    if not space.spaces:
        raise SpaceError("a Dict space without keys holds nothing", where=name)
    leaves: dict[str, gym.Space] = {}
    for key, part in space.spaces.items():
        if not isinstance(key, str) or not key or "/" in key:
            raise SpaceError(
                f"the key {key!r} cannot be part of a column's name",
                where=name,
                remedy='keys of a Dict space are non-empty strings without "/"',
            )
        leaves |= leaf_spaces(part, f"{name}/{key}")
    return leaves


def space_text(space: gym.Space) -> str:
    """A space in one line: a Box by shape, element type and, where they are the same for all, its bounds."""
    if isinstance(space, gym.spaces.Dict):
        return f"Dict({', '.join(f'{key}: {space_text(part)}' for key, part in space.spaces.items())})"
    if not isinstance(space, gym.spaces.Box):
        return str(space)
    bounds = ""
    if space.low.size and (space.low == space.low.flat[0]).all() and (space.high == space.high.flat[0]).all():
        bounds = f" in [{space.low.flat[0]:g}, {space.high.flat[0]:g}]"
    return f"Box{space.shape} {space.dtype}{bounds}"


def check_dtype(dtype: np.dtype[Any], *, where: str) -> None:
    """Refuses element types that the formats on disk do not have.

    Raises:
        SpaceError: naming the type and those that are known.
    """
    if dtype not in DTYPES:
        remedy = f"one of {', '.join(sorted(known.name for known in DTYPES))}"
        raise SpaceError(f"dtype {dtype.str} is not supported", where=where, remedy=remedy)


def space_to_json(space: gym.Space, *, where: str = "space") -> dict[str, Any]:
    """The JSON form of a space; ``space_from_json`` gives an equal space back.

    Raises:
        SpaceError: the space, or one inside it, is of a class or an element type that is not supported.
    """
    writer = _WRITERS.get(type(space))
    if writer is None:
        raise SpaceError(
            f"{type(space).__name__} is not supported: {space}",
            where=where,
            remedy=f"one of {', '.join(kind.__name__ for kind in _WRITERS)}",
        )
    return {"type": type(space).__name__, **writer(space, where)}


def space_from_json(value: Mapping[str, Any], *, where: str = "space") -> gym.Space:
    """Builds the space that ``space_to_json`` wrote.

    Raises:
        SpaceError: the value is no space's JSON form.
    """
    kind = value.get("type") if isinstance(value, Mapping) else None
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise SpaceError(f"{value!r} is no known space", where=where, remedy=f"types: {', '.join(_READERS)}")
    try:
        return reader(value, where)
    except SpaceError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
        raise SpaceError(f"{value!r} does not describe a {kind} space: {error!r}", where=where) from error


@dataclass(frozen=True, slots=True)
class Spaces:
    """What an agent sees and what it does, at one step of one environment."""

    observation: gym.Space
    action: gym.Space

    def to_json(self) -> dict[str, Any]:
        """``{"observation": ..., "action": ...}``.

        Raises:
            SpaceError: a space is not supported.
        """
        return {
            "observation": space_to_json(self.observation, where="observation"),
            "action": space_to_json(self.action, where="action"),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Spaces:
        """The inverse of ``to_json``.

        Raises:
            SpaceError: the value is not what ``to_json`` writes.
        """
        observation, action = value.get("observation", {}), value.get("action", {})
        return cls(space_from_json(observation, where="observation"), space_from_json(action, where="action"))

    def differences(self, other: Spaces) -> list[str]:
        """What differs from other spaces, one sentence for each difference; empty when they agree."""
        return [
            *space_differences(self.observation, other.observation, where="observation"),
            *space_differences(self.action, other.action, where="action"),
        ]


def space_differences(a: gym.Space, b: gym.Space, *, where: str = "space") -> list[str]:
    """What differs between two spaces, one sentence for each difference; empty when they agree.

    Bounds and element types are compared exactly (Gymnasium's own ``==`` compares bounds within a tolerance).
    """
    if type(a) is not type(b):
        return [f"{where}: {type(a).__name__} against {type(b).__name__}"]
    if isinstance(a, gym.spaces.Dict):
        keys_a, keys_b = list(a.spaces), list(b.spaces)
        if keys_a != keys_b:
            return [f"{where}: keys {keys_a} against {keys_b}"]
        return [text for key in keys_a for text in space_differences(a[key], b[key], where=f"{where}/{key}")]
    json_a, json_b = space_to_json(a, where=where), space_to_json(b, where=where)
    return [
        f"{where}: {field} {_short(json_a[field])} against {_short(json_b[field])}"
        for field in json_a
        if json_a[field] != json_b[field]
    ]


def _short(value: JSONValue) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _bound_to_json(bound: NDArray[Any]) -> JSONValue:
    if bound.size and (bound == bound.flat[0]).all():
        return _number_to_json(bound.flat[0].item())
    nested: JSONValue = _nested(bound.tolist(), _number_to_json)
    return nested


def _bound_from_json(value: JSONValue, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    array = np.array(_nested(value, _number_from_json), dtype)
    return np.full(shape, array, dtype) if array.ndim == 0 else array.reshape(shape)


def _nested(value: Any, leaf: Callable[[Any], Any]) -> Any:
    return [_nested(item, leaf) for item in value] if isinstance(value, list) else leaf(value)


def _number_to_json(number: float) -> float | str:
    return number if math.isfinite(number) else str(number)


def _number_from_json(number: Any) -> float:
    if number in ("inf", "-inf"):
        return float(number)
    if not isinstance(number, int | float):
        raise TypeError(f"{number!r} is no number")
    return number


def _box_to_json(space: gym.spaces.Box, where: str) -> dict[str, Any]:
    check_dtype(space.dtype, where=where)
    return {
        "dtype": space.dtype.name,
        "shape": list(space.shape),
        "low": _bound_to_json(space.low),
        "high": _bound_to_json(space.high),
    }


def _box_from_json(value: Mapping[str, Any], where: str) -> gym.Space:
    dtype, shape = np.dtype(value["dtype"]), tuple(value["shape"])
    check_dtype(dtype, where=where)
    low, high = (_bound_from_json(value[bound], shape, dtype) for bound in ("low", "high"))
    return gym.spaces.Box(low, high, shape, dtype.type)


def _discrete_to_json(space: gym.spaces.Discrete, where: str) -> dict[str, Any]:
    check_dtype(space.dtype, where=where)
    return {"dtype": space.dtype.name, "n": int(space.n), "start": int(space.start)}


def _discrete_from_json(value: Mapping[str, Any], where: str) -> gym.Space:
    check_dtype(np.dtype(value["dtype"]), where=where)
    return gym.spaces.Discrete(value["n"], start=value["start"], dtype=value["dtype"])


def _multi_discrete_to_json(space: gym.spaces.MultiDiscrete, where: str) -> dict[str, Any]:
    check_dtype(space.dtype, where=where)
    return {"dtype": space.dtype.name, "nvec": space.nvec.tolist(), "start": space.start.tolist()}


def _multi_discrete_from_json(value: Mapping[str, Any], where: str) -> gym.Space:
    check_dtype(np.dtype(value["dtype"]), where=where)
    return gym.spaces.MultiDiscrete(value["nvec"], dtype=value["dtype"], start=value["start"])


def _multi_binary_to_json(space: gym.spaces.MultiBinary, where: str) -> dict[str, Any]:
    return {"shape": list(space.shape)}


def _multi_binary_from_json(value: Mapping[str, Any], where: str) -> gym.Space:
    shape = value["shape"]
    return gym.spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)


def _text_to_json(space: gym.spaces.Text, where: str) -> dict[str, Any]:
    characters = "".join(sorted(space.character_set))
    return {"min_length": space.min_length, "max_length": space.max_length, "characters": characters}


def _text_from_json(value: Mapping[str, Any], where: str) -> gym.Space:
    return gym.spaces.Text(value["max_length"], min_length=value["min_length"], charset=value["characters"])


def _dict_to_json(space: gym.spaces.Dict, where: str) -> dict[str, Any]:
    leaf_spaces(space, where)
    return {
        "spaces": [[key, space_to_json(part, where=f"{where}/{key}")] for key, part in space.spaces.items()]
    }


def _dict_from_json(value: Mapping[str, Any], where: str) -> gym.Space:
    return gym.spaces.Dict(
        [(key, space_from_json(part, where=f"{where}/{key}")) for key, part in value["spaces"]]
    )


_WRITERS: dict[type[gym.Space], Callable[[Any, str], dict[str, Any]]] = {
    gym.spaces.Box: _box_to_json,
    gym.spaces.Discrete: _discrete_to_json,
    gym.spaces.MultiDiscrete: _multi_discrete_to_json,
    gym.spaces.MultiBinary: _multi_binary_to_json,
    gym.spaces.Text: _text_to_json,
    gym.spaces.Dict: _dict_to_json,
}
_READERS: dict[str, Callable[[Mapping[str, Any], str], gym.Space]] = {
    "Box": _box_from_json,
    "Discrete": _discrete_from_json,
    "MultiDiscrete": _multi_discrete_from_json,
    "MultiBinary": _multi_binary_from_json,
    "Text": _text_from_json,
    "Dict": _dict_from_json,
}
