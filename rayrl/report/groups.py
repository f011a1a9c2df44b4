"""Groups of trials: those that differ by their seed alone."""

from __future__ import annotations

from dataclasses import dataclass

from rayrl.report.outcomes import condition_label, condition_style
from rayrl.report.run_data import RunData, Trial


@dataclass(frozen=True, slots=True)
class Group:
    """The trials of an architecture under a condition."""

    label: str
    style: int
    """Index of the colour, dash and marker that stand for it in every figure."""
    architecture: str
    condition: str
    trials: tuple[Trial, ...]
    """One for each seed."""


def groups_of(run: RunData, *, several_architectures: bool | None = None) -> list[Group]:
    """The groups of a run, in the order of the experiment.

    Args:
        run: the run.
        several_architectures: whether labels name the architecture; by default where the run has several.
    """
    return [
        Group(
            label=condition_label(run, architecture, condition, several_architectures=several_architectures),
            style=condition_style(run, architecture, condition),
            architecture=architecture,
            condition=condition,
            trials=tuple(t for t in run.trials if (t.architecture, t.condition) == (architecture, condition)),
        )
        for architecture in run.experiment.architectures
        for condition in run.experiment.conditions
    ]
