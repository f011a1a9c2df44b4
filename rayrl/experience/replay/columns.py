"""The columns of all blocks, and reading rows of several blocks at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import ColumnSpec
from rayrl.experience.ragged import Column, Ragged
from rayrl.experience.replay.hot import HotBlocks
from rayrl.experience.replay.memory import Rows, read_rows, word


class Read(NamedTuple):
    """Rows of one column, wherever they are.

    Args:
        name: the column.
        spec: what it looks like in all of the blocks.
        block: int64 ``(n,)`` with ``row``, where each row is.
        row: rows of the blocks' columns.
        other: a column that looks the same, to read where ``is_other`` says so.
        is_other: bool ``(n,)``.
    """

    name: str
    spec: ColumnSpec
    block: NDArray[np.int64]
    row: NDArray[np.int64]
    other: str | None = None
    is_other: NDArray[np.bool_] | None = None

    def take(self, members: NDArray[np.int64]) -> Read:
        """Some of the rows."""
        is_other = None if self.is_other is None else self.is_other[members]
        return Read(self.name, self.spec, self.block[members], self.row[members], self.other, is_other)


class BlockColumns:
    """Columns by block and name; every read of a block's data passes through here.

    Step columns and trajectory columns of a block have different names, and rows of their own. Of a cold
    block only the rewards are here; the rest is fetched for each read, and let go of.

    Args:
        hot_bytes: how much of sealed blocks to keep here; None: all.
        fetch: gives the arrays of a sealed block by its entry.
    """

    def __init__(self, hot_bytes: int | None, fetch: Callable[[int], TrajectoryBatch]) -> None:
        self.hot = HotBlocks(hot_bytes)
        self._fetch = fetch
        self._held: dict[int, dict[str, Column]] = {}
        self._addresses: dict[str, NDArray[np.int64]] = {}
        self._size = 64

    def set(self, block: int, columns: Mapping[str, Column]) -> None:
        """Takes over columns of a block; those of the same names are replaced.

        Args:
            block: its entry.
            columns: an array that is not C-contiguous, or not aligned, is copied.
        """
        while block >= self._size:
            self._size *= 2
        self.hot.make_room(block)
        held = self._held.setdefault(block, {})
        for name, column in columns.items():
            if isinstance(column, Ragged):
                held[name] = column
                continue
            held[name] = array = _readable(column)
            addresses = self._addresses.get(name)
            if addresses is None or len(addresses) < self._size:
                grown = np.zeros(self._size, np.int64)
                if addresses is not None:
                    grown[: len(addresses)] = addresses
                addresses = self._addresses[name] = grown
            addresses[block] = _address(array)

    def seal(self, block: int, kept: TrajectoryBatch) -> None:
        """Takes over the columns of a block that a store has; what is then too much becomes cold."""
        if block in self._held:
            self._forget(block)
        self.set(block, kept.columns | kept.trajectory_columns)
        for cooled in self.hot.add(block, kept.nbytes):
            self._cool(cooled)

    def remove(self, block: int) -> None:
        """Forgets a block."""
        self._forget(block)
        del self._held[block]
        self.hot.remove(block)

    def of(self, block: int, names: Iterable[str]) -> dict[str, Column]:
        """Columns of one block; those of a cold one are fetched, and stay as long as someone has them."""
        held: Mapping[str, Column] = self._held[block]
        if self.hot.is_cold[block]:
            fetched = self._fetch(block)
            held = fetched.columns | fetched.trajectory_columns
        return {name: held[name] for name in names}

    def addresses(self, name: str) -> NDArray[np.int64]:
        """``(blocks,)`` where the array of each block begins; of cold blocks only the rewards are there."""
        return self._addresses[name]

    def read(self, name: str, spec: ColumnSpec, block: Any, row: Any) -> Column:
        """Rows of one column; see ``read_all``."""
        return self.read_all([Read(name, spec, block, row)])[0]

    def read_all(self, reads: Sequence[Read]) -> list[Column]:
        """Rows of several columns, copied; each cold block is fetched once."""
        if not self.hot.any_cold:
            return [self._read(read) for read in reads]
        touched = np.concatenate([read.block for read in reads])
        self.hot.used(touched)
        cold = np.unique(touched[self.hot.is_cold[touched]]).tolist()
        if not cold:
            return [self._read(read) for read in reads]
        parts: list[list[tuple[NDArray[np.int64], Column]]] = [[] for _ in reads]

        def read_those(pick: Callable[[Read], NDArray[np.int64]]) -> None:
            for read, found in zip(reads, parts, strict=True):
                members = pick(read)
                if len(members):
                    found.append((members, self._read(read.take(members))))

        read_those(lambda read: np.flatnonzero(~self.hot.is_cold[read.block]))
        for block in cold:
            with self._lent(block):
                read_those(lambda read, block=block: np.flatnonzero(read.block == block))  # type: ignore[misc]
        return [_scatter(read, found) for read, found in zip(reads, parts, strict=True)]

    @contextmanager
    def _lent(self, block: int) -> Iterator[None]:
        """Has the columns of a cold block here meanwhile, and for good where it is used more than others."""
        fetched = self._fetch(block)
        rewards = dict(self._held[block])
        self.set(block, fetched.columns | fetched.trajectory_columns)
        try:
            yield
            if self.hot.may_warm(block):
                for cooled in self.hot.warm(block):
                    self._cool(cooled)
        finally:
            if self.hot.is_cold[block]:
                self._forget(block)
                self.set(block, rewards)

    def _cool(self, block: int) -> None:
        rewards: Any = self._held[block][c.REWARDS]
        self._forget(block)
        # A copy: a view of one column keeps the whole block where it is.
        self.set(block, {c.REWARDS: rewards.copy()})

    def _forget(self, block: int) -> None:
        for name, column in self._held[block].items():
            if not isinstance(column, Ragged):
                self._addresses[name][block] = 0
        self._held[block] = {}

    def _read(self, read: Read) -> Column:
        name, spec, block, row = read[:4]
        if read.other is not None and read.is_other is not None:
            return self._read_either(read, read.other, read.is_other)
        if spec.kind != "array":
            return self._read_ragged(name, spec, block, row)
        if len(block) == 0 or math.prod(spec.shape) == 0:
            return np.empty((len(block), *spec.shape), spec.dtype)
        addresses = self._addresses[name]
        return read_rows(Rows(block, row), addresses, addresses, spec.dtype, spec.shape)

    def _read_either(self, read: Read, other: str, is_other: NDArray[np.bool_]) -> Column:
        name, spec, block, row = read[:4]
        if spec.kind == "array" and len(block) and math.prod(spec.shape):
            addresses, others = self._addresses[name], self._addresses[other]
            return read_rows(Rows(block, row, is_other), addresses, others, spec.dtype, spec.shape)
        first, second = np.flatnonzero(~is_other), np.flatnonzero(is_other)
        return _scatter(
            read,
            [
                (first, self._read(Read(name, spec, block[first], row[first]))),
                (second, self._read(Read(other, spec, block[second], row[second]))),
            ],
        )

    def _read_ragged(self, name: str, spec: ColumnSpec, block: Any, row: Any) -> Column:
        if len(block) == 0:
            return spec.empty()
        order = np.argsort(block, kind="stable")
        parts: list[Any] = []
        for entry, first in zip(*np.unique(block[order], return_index=True), strict=True):
            members = order[first : first + np.count_nonzero(block == entry)]
            held: Any = self._held[int(entry)][name]
            parts.append(held.take(row[members]))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return Ragged.concat(parts).take(back)


def _scatter(read: Read, parts: Sequence[tuple[NDArray[np.int64], Column]]) -> Column:
    """A column from its parts: some rows, by their positions, and what is to stand there."""
    n = len(read.block)
    if read.spec.kind == "array":
        out = np.empty((n, *read.spec.shape), read.spec.dtype)
        for members, part in parts:
            out[members] = part
        return out
    if not n:
        return read.spec.empty()
    order = np.concatenate([members for members, _ in parts])
    back = np.empty_like(order)
    back[order] = np.arange(n)
    ragged: list[Any] = [part for _, part in parts]
    return Ragged.concat(ragged).take(back)


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _readable(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy of it, C-contiguous and aligned as ``read_rows`` needs."""
    array = np.ascontiguousarray(array)
    row_bytes = array.itemsize * math.prod(array.shape[1:])
    if row_bytes and _address(array) % word(row_bytes).itemsize:
        return array.copy()
    return array
