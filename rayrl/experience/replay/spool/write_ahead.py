"""Write-ahead files: the batches of a partition that are not in sealed blocks yet, as Arrow IPC streams."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rayrl.experience.arrow import from_arrow, to_arrow
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.replay.spool.append_only import AppendOnly

TICKET, REMEMBERED, NEXT_TRAJECTORY = "ticket", "remembered", "next_trajectory"
"""Trajectory columns of the records, each the same in all rows; see ``Record``."""

_log = logging.getLogger(__name__)


class Position(NamedTuple):
    """Where in the write-ahead files of a partition what is not sealed begins.

    Args:
        file: number of the file.
        record: of the record within it.
        done: rows of that record that are sealed.
    """

    file: int
    record: int
    done: int


class Record(NamedTuple):
    """One add.

    Args:
        ticket: its number.
        batch: what was new of it, prepared.
        remembered: whether it is to be remembered as added.
        next_trajectory: the id of the next trajectory that began.
        done: rows of it that are sealed.
    """

    ticket: int
    batch: TrajectoryBatch
    remembered: bool
    next_trajectory: int
    done: int


class WriteAhead:
    """Writes the adds of one partition down before they are made.

    A file is a stream of one record batch for each add. After a block is sealed the next add begins a new
    file, and files of which all is sealed are deleted.

    Args:
        folder: where the files are.
        prefix: of their names.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._number = 0
        self._records = 0
        self._rows = 0
        self._file: AppendOnly | None = None
        self._sealed = False

    def append(self, record: Record) -> None:
        """Writes an add down.

        Raises:
            StorageError: the disk is full or not writable; nothing is written then.
        """
        batch, count = record.batch, record.batch.num_trajectories
        table = to_arrow(
            batch.with_trajectory_columns(
                **{
                    TICKET: np.full(count, record.ticket),
                    REMEMBERED: np.full(count, record.remembered),
                    NEXT_TRAJECTORY: np.full(count, record.next_trajectory),
                }
            )
        )
        if self._sealed:
            self._next_file()
        file = self._file
        if file is None:
            file = AppendOnly(self._path(self._number), "the replay buffer's write-ahead file")
            file.append(table.schema.serialize())
            self._file = file
        file.append(table.serialize())
        self._records += 1
        self._rows = batch.num_steps

    def seal(self, done: int) -> Position:
        """Where what is not sealed begins, now that ``done`` rows of the last add, and all before, are."""
        self._sealed = True
        if done >= self._rows:
            return Position(self._number + 1, 0, 0)
        return Position(self._number, self._records - 1, done)

    def cut(self, position: Position) -> None:
        """Deletes what is sealed."""
        for path in _files(self._folder, self._prefix, 0):
            if _number(path) < position.file:
                path.unlink()
        if position.file > self._number:
            self._next_file()

    def close(self) -> None:
        """Closes the file that is being written."""
        if self._file is not None:
            self._file.close()

    def _next_file(self) -> None:
        self.close()
        self._file, self._number = None, self._number + 1
        self._records = self._rows = 0
        self._sealed = False

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._prefix}{number:06d}.arrows"


def read_ahead(folder: Path, prefix: str, position: Position) -> Iterator[Record]:
    """The adds from a position on, without one that was not written to its end and never acknowledged."""
    skip, done = position.record, position.done
    for path in _files(folder, prefix, position.file):
        for number, batch in enumerate(_batches(path)):
            if number < skip:
                continue
            columns: Any = batch.trajectory_columns
            ticket, following = int(columns[TICKET][0]), int(columns[NEXT_TRAJECTORY][0])
            plain = batch.drop([TICKET, REMEMBERED, NEXT_TRAJECTORY])
            yield Record(ticket, plain, bool(columns[REMEMBERED][0]), following, done)
            done = 0
        skip = 0


def _batches(path: Path) -> Iterator[TrajectoryBatch]:
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            for batch in reader:
                yield from_arrow(batch)
    except (pa.ArrowInvalid, OSError) as error:
        _log.warning("%s ends in an add that was cut off and never acknowledged: %s", path, error)


def _files(folder: Path, prefix: str, first: int) -> list[Path]:
    return sorted(path for path in folder.glob(f"{prefix}*.arrows") if _number(path) >= first)


def _number(path: Path) -> int:
    return int(path.stem.rsplit("-", 1)[1])
