"""Groups of trajectories that filters cannot tell apart, and the filters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.config.base import nearest
from rayrl.errors import DataError
from rayrl.experience.columns import Source, Split

Wanted = str | Collection[str] | None
"""One value, any of several, or all of them."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which trajectories to draw from; a field that is None lets all pass.

    Args:
        split: ``train`` or ``val``.
        domain: task families.
        task: levels, seeds or prompts.
        source: ``rollout``, ``demo``, ``history`` or ``import_``.
        partition: partitions of the buffer.
    """

    split: Wanted = None
    domain: Wanted = None
    task: Wanted = None
    source: Wanted = None
    partition: Wanted = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                chosen = (value,) if isinstance(value, str) else tuple(sorted(value))
                object.__setattr__(self, field.name, chosen)
        for name, kind in (("split", Split), ("source", Source)):
            known = [member.name for member in kind if member is not Split.unset]
            for value in getattr(self, name) or ():
                if value not in known:
                    raise DataError(f"no {name} is named {value!r}; {nearest(value, known)}", where=name)

    def __str__(self) -> str:
        said = [
            f"{field.name} {' or '.join(map(repr, getattr(self, field.name)))}"
            for field in fields(self)
            if getattr(self, field.name) is not None
        ]
        return " and ".join(said)


EVERYWHERE = Where()


@dataclass(frozen=True, slots=True)
class Group:
    """What the trajectories of a group share; domain and task are empty where there are none."""

    partition: str
    split: str
    domain: str
    task: str
    source: str


class Groups:
    """Numbers the groups met so far, and counts their steps.

    Attributes:
        members: the groups, by number.
        steps: int64 ``(capacity,)`` live steps of each group.
        told: what told the groups of the batch that was looked at last, with ``told_numbers``, these groups.
    """

    def __init__(self) -> None:
        self.members: list[Group] = []
        self.steps = np.zeros(16, np.int64)
        self.told: tuple[Any, ...] = ()
        self.told_numbers = np.empty(0, np.int32)
        self._numbers: dict[Group, int] = {}
        self._masks: dict[Where, NDArray[np.bool_]] = {}

    def number(self, group: Group) -> int:
        """The group's number, a new one if it was not met before."""
        found = self._numbers.get(group)
        if found is not None:
            return found
        number = self._numbers[group] = len(self.members)
        self.members.append(group)
        if number >= len(self.steps):
            self.steps = np.concatenate([self.steps, np.zeros_like(self.steps)])
        self._masks.clear()
        return number

    def numbers(self, columns: Sequence[Sequence[str]]) -> NDArray[np.int32]:
        """Numbers of the groups of trajectories, ``(n,)``.

        Args:
            columns: for each field of Group in order, n values, or a single one that holds for all.
        """
        n = max(len(column) for column in columns)
        if all(len(column) == 1 for column in columns):
            return np.array([self.number(Group(*(column[0] for column in columns)))], np.int32)
        full: list[Sequence[str]] = [column if len(column) == n else [column[0]] * n for column in columns]
        seen: dict[tuple[str, ...], int] = {}
        numbers = np.empty(n, np.int32)
        for i, values in enumerate(zip(*full, strict=True)):
            if values not in seen:
                seen[values] = self.number(Group(*values))
            numbers[i] = seen[values]
        return numbers

    def matching(self, where: Where) -> NDArray[np.bool_]:
        """``(groups,)`` which groups a filter lets pass."""
        if where not in self._masks:
            wanted = {f.name: getattr(where, f.name) for f in fields(where)}
            checks = {name: set(values) for name, values in wanted.items() if values is not None}
            self._masks[where] = np.array(
                [all(getattr(g, name) in ok for name, ok in checks.items()) for g in self.members], np.bool_
            )
        return self._masks[where]

    def count(self, where: Where) -> int:
        """Live steps that a filter lets pass."""
        return int(self.steps[: len(self.members)][self.matching(where)].sum())

    def by(self, attribute: str, where: Where) -> dict[str, int]:
        """Live steps that a filter lets pass, for each value of one field of Group; none that is zero."""
        totals: dict[str, Any] = {}
        for number in np.flatnonzero(self.matching(where)):
            value = getattr(self.members[number], attribute)
            totals[value] = totals.get(value, 0) + int(self.steps[number])
        return {value: steps for value, steps in sorted(totals.items()) if steps}
