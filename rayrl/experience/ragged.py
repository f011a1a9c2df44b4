"""Columns whose rows have different lengths: one array of values, and offsets into it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """``len(offsets) - 1`` rows; row i is ``values[offsets[i]:offsets[i + 1]]``, and may be empty.

    Args:
        values: ``(elements, *inner)``.
        offsets: int64 ``(rows + 1,)``, from 0, never falling, to ``len(values)``.
        is_text: the rows are UTF-8 strings; ``values`` is uint8 ``(bytes,)``.
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]
    is_text: bool = False

    @classmethod
    def from_rows(cls, rows: Sequence[NDArray[Any]]) -> Ragged:
        """Joins arrays of one dtype and one inner shape; there must be at least one.

        Raises:
            DataError: no rows, or rows of several dtypes or inner shapes.
        """
        kinds = {(row.dtype.name, row.shape[1:]) for row in rows}
        if len(kinds) != 1:
            raise DataError(f"ragged rows need one dtype and inner shape, got {sorted(kinds)}")
        return cls(np.concatenate(rows), offsets_of([len(row) for row in rows]))

    @classmethod
    def from_text(cls, texts: Iterable[str]) -> Ragged:
        """Encodes strings as UTF-8, one row each.

        Raises:
            DataError: a string cannot be encoded (a lone surrogate).
        """
        try:
            encoded = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            raise DataError(f"text is not valid Unicode: {error}") from error
        values = np.frombuffer(b"".join(encoded), np.uint8)
        return cls(values, offsets_of([len(row) for row in encoded]), is_text=True)

    def to_text(self) -> list[str]:
        """Decodes every row.

        Raises:
            DataError: the column is no text, or is not valid UTF-8.
        """
        if not self.is_text:
            raise DataError(f"the column holds {self.values.dtype} values, not text")
        data, ends = self.values.tobytes(), self.offsets.tolist()
        try:
            return [data[start:stop].decode() for start, stop in itertools.pairwise(ends)]
        except UnicodeDecodeError as error:
            raise DataError(f"text is not valid UTF-8: {error}") from error

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        row = range(len(self))[row]
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __eq__(self, other: object) -> bool:
        """Whether rows, dtype and bytes are the same; NaNs of the same bits are equal."""
        if not isinstance(other, Ragged):
            return NotImplemented
        return (
            self.is_text == other.is_text
            and np.array_equal(self.offsets, other.offsets)
            and same_bits(self.values, other.values)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``(rows,)`` number of elements in each row."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of values and offsets."""
        return self.values.nbytes + self.offsets.nbytes

    def validate(self, name: str) -> None:
        """Checks the invariants that the class states.

        Raises:
            DataError: naming the column ``name``.
        """
        check_offsets(self.offsets, where=name)
        if self.offsets[-1] != len(self.values):
            raise DataError(f"offsets end at {self.offsets[-1]}, not {len(self.values)}", where=name)
        if not self.is_text:
            return
        if self.values.dtype != np.uint8 or self.values.ndim != 1:
            raise DataError(f"text is uint8 bytes, not {self.values.dtype} {self.values.shape}", where=name)
        starts = self.offsets[:-1][self.lengths > 0]
        try:
            self.values.tobytes().decode()
        except UnicodeDecodeError as error:
            raise DataError(f"text is not valid UTF-8: {error}", where=name) from error
        # A continuation byte (10xxxxxx) cannot open a row: the row before would end inside a character.
        if ((self.values[starts] & 0xC0) == 0x80).any():
            raise DataError("text is not valid UTF-8: a row starts inside a character", where=name)

    def slice(self, start: int, stop: int) -> Ragged:
        """Rows ``start`` to ``stop`` (exclusive); the values are a view."""
        offsets = self.offsets[start : stop + 1]
        first, last = offsets[0], offsets[-1]
        return Ragged(self.values[first:last], offsets - first if first else offsets, self.is_text)

    def take(self, rows: NDArray[np.integer[Any]]) -> Ragged:
        """Gathers rows by index, in the order given; repeats are allowed."""
        elements, offsets = gather_index(self.offsets, rows)
        return Ragged(self.values[elements], offsets, self.is_text)

    @staticmethod
    def concat(parts: Sequence[Ragged]) -> Ragged:
        """Joins columns of one dtype, one inner shape and one kind."""
        lengths = np.concatenate([part.lengths for part in parts])
        return Ragged(np.concatenate([part.values for part in parts]), offsets_of(lengths), parts[0].is_text)


Column: TypeAlias = NDArray[Any] | Ragged
"""One value per row: an array whose first axis is the row, or a ragged column."""


def offsets_of(lengths: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """``(n,)`` lengths as int64 offsets ``(n + 1,)`` that start at 0."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def gather_index(
    offsets: NDArray[np.int64], rows: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the elements of some rows stand, and the offsets of these rows once gathered.

    Args:
        offsets: int64 ``(n + 1,)``.
        rows: ``(k,)`` indices from 0 to n - 1.

    Returns:
        The elements' indices, ``(elements of all k rows,)``, and new offsets, ``(k + 1,)``.
    """
    lengths = (offsets[1:] - offsets[:-1])[rows]
    gathered = offsets_of(lengths)
    shift = offsets[:-1][rows] - gathered[:-1]
    return np.arange(gathered[-1]) + np.repeat(shift, lengths), gathered


def check_offsets(offsets: NDArray[np.int64], *, where: str) -> None:
    """Checks that offsets are int64, at least one, start at 0 and never fall.

    Raises:
        DataError: naming ``where``.
    """
    if offsets.dtype != np.int64 or offsets.ndim != 1 or len(offsets) == 0:
        raise DataError(f"offsets are int64 (rows + 1,), not {offsets.dtype} {offsets.shape}", where=where)
    if offsets[0] != 0:
        raise DataError(f"offsets start at {offsets[0]}, not 0", where=where)
    if len(offsets) > 1 and (offsets[1:] < offsets[:-1]).any():
        raise DataError("offsets fall", where=where)


def same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays have the same dtype, shape and bits, NaN payloads and signed zeros included."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    unsigned = np.dtype(f"u{a.dtype.itemsize}")
    return bool((a.view(unsigned) == b.view(unsigned)).all())
