"""How far training moves the policy: KL to the reference and to who collected, entropy, temperature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.report.figures.chart import LineChart
from rayrl.report.groups import Group, groups_of
from rayrl.report.html import element
from rayrl.report.run_data import RunData
from rayrl.report.sections.learning_curves import seed_lines
from rayrl.report.sections.registry import Block, Section
from rayrl.report.several_runs import SeveralRuns

_CHARTS = (
    ("kl_reference", "KL to the reference", "learner/kl_ref", "Nats"),
    ("kl_rollout", "KL to the policy that collected", "learner/mean_kl_loss", "Nats"),
    ("entropy", "Entropy", "learner/entropy", "Nats"),
    ("temperature", "Temperature", "temperature/current", "Temperature of sampled actions"),
)
_STABILIZATION = "stabilization_steps"


def build(run: RunData) -> Sequence[Block]:
    """A chart of each quantity that trials told, then what to see in them."""
    return _blocks(groups_of(run))


def compare(comparison: SeveralRuns) -> Sequence[Block]:
    """The same, with the trials of all runs."""
    return _blocks(comparison.groups())


def _blocks(groups: Sequence[Group]) -> Sequence[Block]:
    charts = list(_charts(groups))
    if not charts:
        return []
    note = (
        "Means over the last epoch of each update, at temperature 1. The divergence from the policy that "
        "collected is how far one update goes; that from the reference is how far training has come from its "
        "start. Entropy near 0 is a policy that has ceased to look."
    )
    return [*charts, element("p", f"{note}{_stabilized(groups)}", class_="note")]


def _charts(groups: Sequence[Group]) -> Iterator[LineChart]:
    for name, title, column, y_label in _CHARTS:
        if lines := list(seed_lines(groups, column)):
            yield LineChart(
                name=name,
                title=title,
                description=f"{title} by environment steps, each seed and the mean of each condition.",
                x_label="Environment steps",
                y_label=y_label,
                lines=lines,
            )


def _stabilized(groups: Sequence[Group]) -> str:
    """How many steps came before training, which no curve counts."""
    steps = {
        group.label: max(trial.curve[_STABILIZATION].max(initial=0.0) for trial in group.trials)
        for group in groups
        if any(_STABILIZATION in trial.curve.columns for trial in group.trials)
    }
    if not steps:
        return ""
    told = ", ".join(f"{count:,.0f} ({label})" for label, count in steps.items())
    return (
        f" Before training, further environment steps of each trial fed the running statistics: {told}. They "
        "were not learned from, and count in no number of steps."
    )


def _applies(run: RunData) -> bool:
    columns = [column for _, _, column, _ in _CHARTS]
    return any(column in trial.curve.columns for trial in run.trials for column in columns)


SECTION = Section("divergence", "KL, entropy and temperature", 47, _applies, build, compare)
