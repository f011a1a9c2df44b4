"""What is compared, in words and numbers that people read."""

from __future__ import annotations

from rayrl.comparison.criteria import Criterion
from rayrl.comparison.record import MeasureKind
from rayrl.report.text import number

_SHARES = (Criterion.efficiency, Criterion.safety)


def criterion_label(criterion: Criterion, measure: MeasureKind) -> str:
    """A criterion's name with its unit; that of success is what policies are scored by."""
    return measure if criterion is Criterion.success else criterion.label


def quantity(criterion: Criterion, value: float | None, measure: MeasureKind) -> str:
    """A criterion's value, as precise as it is worth."""
    scaled = measure != "return" and criterion in (Criterion.success, Criterion.sample_efficiency)
    return number(value, 3) if scaled or criterion in _SHARES else number(value)


def in_prose(label: str) -> str:
    """A candidate's name where names stand in a row: ``gcn warm`` for ``gcn, warm``."""
    return label.replace(", ", " ")
