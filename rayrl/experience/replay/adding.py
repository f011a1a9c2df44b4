"""What becomes of a batch that is added, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayrl.errors import DataError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs
from rayrl.experience.replay.partition import Partition


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch.

    Args:
        steps: steps taken in; some of them may have been evicted at once.
        refused: steps that a reservoir turned away.
        duplicates: trajectories passed over, since their batch had been added before.
    """

    steps: int
    refused: int
    duplicates: int


@dataclass(slots=True)
class Adding:
    """A batch on its way in.

    Args:
        partition: where to.
        rest: what is still to come in; None: nothing.
        origin: the batch that is to be remembered as added, if it is.
        done: rows that are in.
    """

    partition: Partition
    rest: TrajectoryBatch | None
    origin: TrajectoryBatch | None
    done: int


def check_against(given: BatchSpecs, held: BatchSpecs, owner: str, *, whole: bool) -> None:
    """Checks a batch's columns against a partition's: the same ones, or not ``whole``, alike where shared."""
    for specs, known in zip(given, held, strict=True):
        _check_columns(specs, known, owner, whole=whole)


def _check_columns(specs: Mapping[str, Any], known: Mapping[str, Any], owner: str, *, whole: bool) -> None:
    for name in sorted(specs.keys() | known.keys()):
        if name in specs and name in known and specs[name] != known[name]:
            raise DataError(f"is {specs[name]} in the batch and {known[name]} in {owner}", where=name)
        if not whole or name == c.SPLIT or (name in specs and name in known):
            continue
        if name in known:
            raise DataError(f"is missing from the batch, and {known[name]} in {owner}", where=name)
        raise DataError(f"is {specs[name]} in the batch, and {owner} has no such column", where=name)
