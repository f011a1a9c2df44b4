"""What failed for good while the rest of the run went on: before anything that leaves it out."""

from __future__ import annotations

from collections.abc import Sequence

from rayrl.report.html import element, table
from rayrl.report.run_data import RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.text import NOTHING, count

_KINDS = {
    "error": "an error",
    "out_of_memory": "out of memory",
    "lost": "its processes were lost",
    "no_pretraining": "no policy to start from",
}


def build(run: RunData) -> Sequence[Block]:
    """A sentence, and a line for each with its peak memory and its error."""
    names = [failure.name for failure in run.failures]
    head = (
        f"{count(len(names), 'part')} of this run failed, and nothing below tells of what they would have "
        "found. The same command tries just these again."
    )
    rows = [
        [
            failure.name,
            _KINDS.get(failure.kind, failure.kind),
            _gib(failure.resources.peak_memory_bytes),
            _gib(failure.resources.peak_gpu_memory_bytes),
            failure.error,
        ]
        for failure in run.failures
    ]
    header = ["", "failed of", "peak memory", "peak GPU memory", "error, and what to do"]
    return [element("p", head, class_="note"), table(header, rows)]


def _gib(size: int | None) -> str:
    return NOTHING if size is None else f"{size / 2**30:.2f} GiB"


SECTION = Section("failures", "Failures", 5, lambda run: bool(run.failures), build)
