"""Request traces: when requests arrived, and how many tokens each had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from rayrl.errors import ConfigError, DataError

COLUMNS = ("arrived_at", "num_prefill_tokens", "num_decode_tokens")
EVALUATION_SHARE = 0.2
_COLUMNS_REMEDY = f"a trace has one line of names, among them {', '.join(COLUMNS)}, and then numbers"


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival; every array has one value per request."""

    arrived: NDArray[np.float64]
    """Seconds."""
    prefill: NDArray[np.int64]
    """Prompt tokens."""
    decode: NDArray[np.int64]
    """Tokens to generate."""

    def __len__(self) -> int:
        return len(self.arrived)

    def part(self, split: Literal["train", "eval"]) -> Trace:
        """The first 80 % of the requests, or the last 20 %, which serve evaluation only."""
        cut = len(self) - round(EVALUATION_SHARE * len(self))
        rows = slice(cut) if split == "train" else slice(cut, None)
        return Trace(self.arrived[rows], self.prefill[rows], self.decode[rows])


def load_trace(path: Path, *, kv_tokens: int) -> Trace:
    """Reads a CSV with the columns ``arrived_at``, ``num_prefill_tokens``, ``num_decode_tokens``.

    Args:
        path: the file; further columns are ignored.
        kv_tokens: tokens in a replica's KV cache, which every request must fit.

    Raises:
        ConfigError: there is no such file.
        DataError: a column is missing, or a value is no number, out of order or out of range; it names the
            line of the file.
    """
    where = str(path)
    if not path.is_file():
        raise ConfigError(
            f"trace = {where!r}: no such file", where="rayrl/Router-v0", remedy="give the path of a CSV file"
        )
    try:
        table = csv.read_csv(path)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(f"not a CSV file: {error}", where=where, remedy=_COLUMNS_REMEDY) from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise DataError(
            f"no column {missing[0]!r}; it has {', '.join(table.column_names)}",
            where=where,
            remedy=_COLUMNS_REMEDY,
        )
    arrived, prefill, decode = (_numbers(table, name, where) for name in COLUMNS)
    _require(np.isfinite(arrived), "arrived_at", arrived, "is not a finite number", where, "give seconds")
    in_order = np.diff(arrived, prepend=-np.inf) >= 0
    _require(
        in_order, "arrived_at", arrived, "is earlier than the line before", where, "sort the lines by it"
    )
    for name, tokens in ((COLUMNS[1], prefill), (COLUMNS[2], decode)):
        whole = (tokens >= 1) & (tokens == np.floor(tokens))
        _require(whole, name, tokens, "is not a number of tokens", where, "give a whole number, at least 1")
    _require(
        prefill + decode <= kv_tokens,
        "num_prefill_tokens + num_decode_tokens",
        prefill + decode,
        f"exceeds the KV cache of {kv_tokens} tokens",
        where,
        "leave the request out, or give the replicas more with env.config.kv_cache.blocks",
    )
    return Trace(arrived, prefill.astype(np.int64), decode.astype(np.int64))


def _numbers(table: pa.Table, name: str, where: str) -> NDArray[np.float64]:
    try:
        column = table.column(name).cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {name!r} is not numeric: {error}", where=where, remedy=_COLUMNS_REMEDY
        ) from None
    values: NDArray[np.float64] = column.to_numpy()
    return values


def _require(
    valid: NDArray[np.bool_], name: str, values: NDArray[np.float64], problem: str, where: str, remedy: str
) -> None:
    if not valid.all():
        row = int(np.flatnonzero(~valid)[0])
        raise DataError(f"line {row + 2}: {name} = {values[row]:g} {problem}", where=where, remedy=remedy)
