"""Names and types of the columns of a TrajectoryBatch, and how observations become columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeVar

import gymnasium as gym
import numpy as np

from rayrl.errors import DataError, SpaceError
from rayrl.experience.ragged import Column, Ragged
from rayrl.storage.spaces import Spaces, check_dtype, leaf_spaces

OBS: Final = "obs"
ACTIONS: Final = "actions"
REWARDS: Final = "rewards"
ACTION_LOGP: Final = "action_logp"
ACTION_DIST_INPUTS: Final = "action_dist_inputs"
TEMPERATURE: Final = "temperature"
STATE: Final = "state"
"""Of rollouts of a policy that remembers, a trajectory column: what it remembers before the first step."""

EPISODE_ID: Final = "episode_id"
FIRST_STEP: Final = "first_step"
TERMINATED: Final = "terminated"
TRUNCATED: Final = "truncated"
FINAL_OBS: Final = "final_obs"
DOMAIN: Final = "domain"
TASK: Final = "task"
SOURCE: Final = "source"
SPLIT: Final = "split"
POLICY_VERSION_MIN: Final = "policy_version_min"
POLICY_VERSION_MAX: Final = "policy_version_max"
PRODUCER: Final = "producer"
EPOCH: Final = "epoch"
SEQUENCE: Final = "sequence"
RETURN_SO_FAR: Final = "return_so_far"
EPISODE_RETURN: Final = "episode_return"
EPISODE_SUCCESS: Final = "episode_success"
DEMONSTRATOR: Final = "demonstrator"
"""Of demonstrations alone, text: the name of who acted."""
SCENARIO: Final = "scenario"
"""Of demonstrations in scenarios alone, text: the circumstances in which it acted."""


class Source(IntEnum):
    """Where a trajectory comes from; the code in the column ``source``."""

    rollout = 0
    demo = 1
    history = 2
    import_ = 3


class Split(IntEnum):
    """Which side of a split a trajectory is on; the code in the column ``split``."""

    unset = 0
    train = 1
    val = 2


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """What the rows of a column look like.

    Args:
        dtype: element type; uint8 for text.
        shape: shape of one row of an array, of one element of a ragged row; ``()`` for text.
        kind: ``array``, ``text`` or ``ragged``.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    kind: Literal["array", "text", "ragged"] = "array"

    @classmethod
    def of(cls, column: Column) -> ColumnSpec:
        """The spec that a column has."""
        if isinstance(column, Ragged):
            values = column.values
            return cls(values.dtype, values.shape[1:], "text" if column.is_text else "ragged")
        return cls(column.dtype, column.shape[1:])

    def fits(self, column: Column) -> bool:
        """Whether a column is of this spec."""
        if isinstance(column, Ragged):
            return ColumnSpec.of(column) == self
        return self.kind == "array" and column.dtype == self.dtype and column.shape[1:] == self.shape

    def empty(self) -> Column:
        """A column of this spec with no rows."""
        values = np.empty((0, *self.shape), self.dtype)
        if self.kind == "array":
            return values
        return Ragged(values, np.zeros(1, np.int64), is_text=self.kind == "text")

    def __str__(self) -> str:
        return "text" if self.kind == "text" else f"{self.kind} {self.dtype} {self.shape}"


class BatchSpecs(NamedTuple):
    """What the columns of a batch look like, by name."""

    columns: dict[str, ColumnSpec]
    trajectory_columns: dict[str, ColumnSpec]

    def check_same(self, other: BatchSpecs) -> None:
        """Checks that batches of these and of other specs can be joined.

        Raises:
            DataError: naming the column whose presence, kind, dtype or shape differs.
        """
        for specs, others in zip(self, other, strict=True):
            if odd := specs.keys() ^ others.keys():
                raise DataError("is a column of some batches only", where=min(odd))
            for name, spec in specs.items():
                if spec != others[name]:
                    raise DataError(f"is {spec} in one batch and {others[name]} in another", where=name)

    def check_has(self, required: BatchSpecs) -> None:
        """Checks that all required columns are there; others may be there too.

        An observation part that stands among the trajectory columns is the same in all of a trajectory, the
        final observation included, which then has no column of its own for it.

        Raises:
            DataError: naming the column that is missing, or is of another kind, dtype or shape.
        """
        once = static_names(self.trajectory_columns)
        per_trajectory = {name: spec for name, spec in required.columns.items() if name in once}
        per_trajectory |= required.trajectory_columns
        per_step = {name: spec for name, spec in required.columns.items() if name not in once}
        for specs, due in ((self.columns, per_step), (self.trajectory_columns, per_trajectory)):
            for name, spec in due.items():
                if specs.get(name) == spec or (is_final(name) and name.replace(FINAL_OBS, OBS, 1) in once):
                    continue
                found = f"is {specs[name]}" if name in specs else "is missing"
                raise DataError(f"{found}, where the spaces ask for {spec}", where=name)


TEXT: Final = ColumnSpec(np.dtype(np.uint8), kind="text")

TRAJECTORY_COLUMNS: Final[Mapping[str, ColumnSpec]] = MappingProxyType(
    {
        EPISODE_ID: ColumnSpec(np.dtype(np.uint64), (2,)),
        FIRST_STEP: ColumnSpec(np.dtype(np.int64)),
        TERMINATED: ColumnSpec(np.dtype(np.bool_)),
        TRUNCATED: ColumnSpec(np.dtype(np.bool_)),
        DOMAIN: TEXT,
        TASK: TEXT,
        SOURCE: ColumnSpec(np.dtype(np.uint8)),
        SPLIT: ColumnSpec(np.dtype(np.uint8)),
        POLICY_VERSION_MIN: ColumnSpec(np.dtype(np.int64)),
        POLICY_VERSION_MAX: ColumnSpec(np.dtype(np.int64)),
        PRODUCER: ColumnSpec(np.dtype(np.int32)),
        EPOCH: ColumnSpec(np.dtype(np.int32)),
        SEQUENCE: ColumnSpec(np.dtype(np.int64)),
        RETURN_SO_FAR: ColumnSpec(np.dtype(np.float64)),
        EPISODE_RETURN: ColumnSpec(np.dtype(np.float64)),
        EPISODE_SUCCESS: ColumnSpec(np.dtype(np.float32)),
    }
)
"""The trajectory columns of fixed type; the parts of ``final_obs`` have the types of the observation."""


_ARRAYS = (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)


def observation_parts(space: gym.Space, prefix: str = OBS) -> dict[str, gym.Space]:
    """The leaf spaces of an observation by column name, in the space's own order.

    Args:
        space: Box, Discrete, Text, or a Dict of these, flat or nested.
        prefix: ``OBS`` or ``FINAL_OBS``; the name itself when ``space`` is no Dict.

    Raises:
        SpaceError: naming the space that is not supported and the column it would have been.
    """
    parts = leaf_spaces(space, prefix)
    for name, leaf in parts.items():
        if not isinstance(leaf, gym.spaces.Box | gym.spaces.Discrete | gym.spaces.Text):
            raise SpaceError(
                f"{type(leaf).__name__} observations are not supported: {leaf}",
                where=name,
                remedy="one of Box, Discrete, Text, or a Dict of these",
            )
    return parts


def is_observation(name: str) -> bool:
    """Whether a column is a part of the observation."""
    return name == OBS or name.startswith(f"{OBS}/")


def is_final(name: str) -> bool:
    """Whether a column is a part of the final observation."""
    return name == FINAL_OBS or name.startswith(f"{FINAL_OBS}/")


def static_names(trajectory_columns: Iterable[str]) -> list[str]:
    """The observation parts among the trajectory columns: those that are the same in all of a trajectory."""
    return [name for name in trajectory_columns if is_observation(name)]


def column_spec(space: gym.Space, *, where: str = "space") -> ColumnSpec:
    """The column that values of a leaf space make.

    Raises:
        SpaceError: the space is not Box, Discrete, MultiDiscrete, MultiBinary or Text.
    """
    if isinstance(space, gym.spaces.Text):
        return TEXT
    if not isinstance(space, _ARRAYS):
        raise SpaceError(f"{type(space).__name__} values do not fit one column: {space}", where=where)
    check_dtype(space.dtype, where=where)
    return ColumnSpec(space.dtype, tuple(space.shape))


def action_spec(space: gym.Space) -> ColumnSpec:
    """The column ``actions`` of an action space.

    Raises:
        SpaceError: the space is not Discrete, MultiDiscrete, MultiBinary or Box.
    """
    if not isinstance(space, _ARRAYS):
        raise SpaceError(
            f"{type(space).__name__} actions are not supported: {space}",
            where=ACTIONS,
            remedy="one of Discrete, MultiDiscrete, MultiBinary, Box",
        )
    return column_spec(space, where=ACTIONS)


def required_specs(spaces: Spaces) -> BatchSpecs:
    """The columns that every stored trajectory of some spaces has.

    Raises:
        SpaceError: a space is not supported.
    """
    parts, final_parts = (observation_parts(spaces.observation, name) for name in (OBS, FINAL_OBS))
    columns = {name: column_spec(leaf, where=name) for name, leaf in parts.items()}
    final = {name: column_spec(leaf, where=name) for name, leaf in final_parts.items()}
    reward = ColumnSpec(np.dtype(np.float32))
    always = (EPISODE_ID, FIRST_STEP, TERMINATED, TRUNCATED)
    return BatchSpecs(
        columns | {ACTIONS: action_spec(spaces.action), REWARDS: reward},
        {name: TRAJECTORY_COLUMNS[name] for name in always} | final,
    )


def to_column(values: Any, spec: ColumnSpec) -> Column:
    """Rows as a column, without a copy where they are an array of the right dtype already.

    Args:
        values: ``(rows, *spec.shape)``, a sequence of such rows, or a sequence of strings for text.
        spec: an ``array`` or ``text`` column.

    Raises:
        DataError: the rows have another shape.
    """
    if spec.kind == "text":
        return Ragged.from_text(values)
    array = np.asarray(values, spec.dtype)
    if array.shape[1:] != spec.shape:
        raise DataError(f"rows of shape {array.shape[1:]} given where {spec.shape} is due")
    return array


T = TypeVar("T")


def flatten_observation(observation: Any, prefix: str = OBS) -> dict[str, Any]:
    """An observation, single or batched, as parts by column name; the leaves are left as they are."""
    if not isinstance(observation, Mapping):
        return {prefix: observation}
    parts: dict[str, Any] = {}
    for key, value in observation.items():
        parts |= flatten_observation(value, f"{prefix}/{key}")
    return parts


def unflatten_observation(columns: Mapping[str, T], prefix: str = OBS) -> T | dict[str, Any]:
    """The inverse of ``flatten_observation``; columns that are no part of ``prefix`` are passed over.

    Raises:
        DataError: no column is named ``prefix`` or ``prefix/...``.
    """
    if prefix in columns:
        return columns[prefix]
    nested: dict[str, Any] = {}
    for name, column in columns.items():
        if name.startswith(f"{prefix}/"):
            *path, leaf = name.removeprefix(f"{prefix}/").split("/")
            level = nested
            for key in path:
                level = level.setdefault(key, {})
            level[leaf] = column
    if not nested:
        raise DataError(f"no column {prefix!r} among {', '.join(columns) or 'none'}")
    return nested
