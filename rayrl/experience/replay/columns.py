"""The columns of all blocks, and reading rows of several blocks at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.experience.columns import ColumnSpec
from rayrl.experience.ragged import Column, Ragged
from rayrl.experience.replay.memory import read_rows, word


class BlockColumns:
    """Columns by block and name; every read of a block's data passes through here.

    Step columns and trajectory columns of a block have different names, and rows of their own.
    """

    def __init__(self) -> None:
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

    def remove(self, block: int) -> None:
        """Forgets a block."""
        for name, column in self._held.pop(block).items():
            if not isinstance(column, Ragged):
                self._addresses[name][block] = 0

    def of(self, block: int, names: Iterable[str]) -> dict[str, Column]:
        """Columns of one block."""
        return {name: self._held[block][name] for name in names}

    def addresses(self, name: str) -> NDArray[np.int64]:
        """``(blocks,)`` where the array of each block begins."""
        return self._addresses[name]

    def read(self, name: str, spec: ColumnSpec, block: Any, row: Any) -> Column:
        """Rows of one column.

        Args:
            name: the column.
            spec: what it looks like in all of these blocks.
            block: int64 ``(n,)`` with ``row``, where each row is.

        Returns:
            ``n`` rows, copied.
        """
        if spec.kind != "array":
            return self._read_ragged(name, spec, block, row)
        if len(block) == 0 or math.prod(spec.shape) == 0:
            return np.empty((len(block), *spec.shape), spec.dtype)
        row_bytes = spec.dtype.itemsize * math.prod(spec.shape)
        return read_rows(self._addresses[name][block] + row * row_bytes, spec.dtype, spec.shape)

    def read_either(
        self, name: str, other: str, spec: ColumnSpec, block: Any, row: Any, is_other: Any
    ) -> Column:
        """As ``read``, of the column ``other`` where ``is_other`` ``(n,)`` says so; both look the same."""
        if spec.kind == "array" and len(block) and math.prod(spec.shape):
            row_bytes = spec.dtype.itemsize * math.prod(spec.shape)
            begins = np.where(is_other, self._addresses[other][block], self._addresses[name][block])
            return read_rows(begins + row * row_bytes, spec.dtype, spec.shape)
        order = np.argsort(is_other, kind="stable")
        first = np.flatnonzero(~is_other)
        second = np.flatnonzero(is_other)
        parts: list[Any] = [
            self.read(name, spec, block[first], row[first]),
            self.read(other, spec, block[second], row[second]),
        ]
        if spec.kind == "array":
            return np.concatenate(parts)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return Ragged.concat(parts).take(back)

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


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _readable(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy of it, C-contiguous and aligned as ``read_rows`` needs."""
    array = np.ascontiguousarray(array)
    row_bytes = array.itemsize * math.prod(array.shape[1:])
    if row_bytes and _address(array) % word(row_bytes).itemsize:
        return array.copy()
    return array
