"""The comparison of a run, for those sections that need one."""

from __future__ import annotations

from rayrl.comparison.compare import compare
from rayrl.comparison.record import Comparison
from rayrl.report.run_data import RunData


def applies(run: RunData) -> bool:
    """Whether there is more than one architecture or condition with results."""
    return compare(run) is not None


def found_in(run: RunData) -> Comparison:
    """The comparison of a run that has one."""
    comparison = compare(run)
    assert comparison is not None, "sections are built only where they apply"
    return comparison
