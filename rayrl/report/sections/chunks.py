"""Training in chunks: where each of them ended, and with how much memory."""

from __future__ import annotations

from collections.abc import Sequence

from rayrl.report.html import element, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import NOTHING, percent

_HEADER = ("chunk", "ends at step", "trials", "memory of a trial", "the most", "of chunk 1")


def build(run: RunData) -> Sequence[Block]:
    """A table with a row for each chunk."""
    numbers = range(1, 1 + max(record.chunk for trial in run.trials for record in trial.chunks))
    rows = [_row(run, number) for number in numbers]
    note = (
        "Each chunk is a Ray Job with processes of its own, which go on from the last one's checkpoints. "
        "Memory is that of a trial's processes at the chunk's end, without Ray's object store: the mean over "
        "trials, and its share of what it was at the end of the first chunk."
    )
    return [table(_HEADER, rows), element("p", note, class_="note")]


def _row(run: RunData, number: int) -> list[str]:
    records = [record for trial in run.trials for record in trial.chunks if record.chunk == number]
    ends = {record.end for record in records}
    memory, first = _memory(run, number), _memory(run, 1)
    mean = sum(memory) / len(memory) if memory else None
    return [
        str(number),
        f"{max(ends):,}" if ends else NOTHING,
        f"{len(records)} of {len(run.trials)}",
        NOTHING if mean is None else _mib(mean),
        _mib(max(memory)) if memory else NOTHING,
        percent(mean / (sum(first) / len(first))) if mean is not None and first else NOTHING,
    ]


def _memory(run: RunData, number: int) -> list[int]:
    return [
        record.memory_bytes
        for trial in run.trials
        for record in trial.chunks
        if record.chunk == number and record.memory_bytes is not None
    ]


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _applies(run: RunData) -> bool:
    return any(record.chunk > 1 for trial in run.trials for record in trial.chunks)


SECTION = Section("chunks", "Training in chunks", 52, _applies, build)
