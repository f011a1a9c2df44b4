"""Steps to target: how soon cold and warm trials return what is wanted, and what that took besides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.report.figures.chart import IntervalChart, IntervalRow
from rayrl.report.html import Html, element, table
from rayrl.report.outcomes import condition_label, condition_style
from rayrl.report.run_data import COLD, WARM, RunData
from rayrl.report.sections.registry import Block, Section
from rayrl.report.steps_to_target import (
    Steps,
    StepsToTarget,
    Target,
    is_evaluated,
    mean_steps,
    steps_to_target,
    target_of,
)
from rayrl.report.text import NOTHING, count, interval, listed, number, percent, percent_interval

HEADER = (
    "",
    "cold",
    "warm",
    "saved",
    "steps of demonstrations",
    "gradient steps of cloning",
    "saved, demonstrations added",
)


def build(run: RunData) -> Sequence[Block]:
    """A chart and a table of steps, seed by seed, and what the numbers mean."""
    target = target_of(run)
    assert target is not None, "the section applies to runs with a target"
    found = steps_to_target(run, target)
    tables = [_table(run, comparison) for comparison in found if comparison.seeds]
    return [_chart(run, target, found), *tables, _note(run, target, found)]


def target_sentences(run: RunData, comparison: StepsToTarget, target: Target) -> tuple[str, str]:
    """What the steps of one architecture say: the finding, and the numbers behind it."""
    why = f", {target.reason}" if target.reason else ""
    what = "a return in evaluation" if is_evaluated(run) else "a training return"
    goal = f"{what} of {number(target.value)}{why}"
    budget = f"{run.experiment.train.total_steps:,} steps"
    if not comparison.reached:
        return "no trial reached the target.", f"In {budget}, none came to {goal}."
    saving = comparison.saving
    cold, warm = mean_steps(comparison.cold), mean_steps(comparison.warm)
    sure = f"95 % interval {percent_interval(saving)}" if saving.low is not None else "no interval"
    numbers = (
        f"To {goal}, warm-started trials took {number(warm.value, 0)} steps in the mean and cold ones "
        f"{number(cold.value, 0)}, so {_more_or_less(saving.value)} ({sure}, over "
        f"{count(saving.n, 'training seed')})."
    )
    missed = [
        f"{sum(not each.reached for each in steps)} of {count(len(steps), f'{name} trial')}"
        for name, steps in (("cold", comparison.cold), ("warm", comparison.warm))
        if not all(each.reached for each in steps)
    ]
    if missed:
        numbers += f" {listed(missed)} had not reached it after {budget}, and counted with what they had."
    head = {
        1: "the warm start reached the target sooner.",
        0: "no difference in steps to the target is shown.",
        -1: "the warm start reached the target later.",
    }[saving.sign]
    return head, numbers


def _more_or_less(saving: float | None) -> str:
    saved = saving or 0.0
    return f"{percent(abs(saved))} {'fewer' if saved >= 0 else 'more'}"


def _chart(run: RunData, target: Target, found: Sequence[StepsToTarget]) -> IntervalChart:
    shown = {
        (comparison.architecture, condition): steps
        for comparison in found
        for condition, steps in ((COLD, comparison.cold), (comparison.condition, comparison.warm))
        if steps
    }
    rows = [
        IntervalRow(
            label=condition_label(run, architecture, condition),
            estimate=mean_steps(steps),
            style=condition_style(run, architecture, condition),
            points=[each.steps for each in steps],
        )
        for (architecture, condition), steps in shown.items()
    ]
    return IntervalChart(
        name="steps_to_target",
        title=f"Environment steps to a return of {number(target.value)}",
        description="Mean environment steps until the target is reached, with interval and single seeds.",
        x_label="Environment steps, at most the budget",
        rows=rows,
    )


def _table(run: RunData, comparison: StepsToTarget) -> Html:
    label = condition_label(run, comparison.architecture, comparison.condition)
    several = len(run.experiment.architectures) > 1 or comparison.condition != WARM
    return table(HEADER, rows(comparison), caption=label if several else None)


def rows(comparison: StepsToTarget) -> list[list[str]]:
    """Steps by seed, as ``HEADER`` names the columns; what came before training has columns of its own."""
    demonstrations = number(comparison.demonstrations, 0)
    found = [
        [
            f"seed {seed}",
            _steps(cold),
            _steps(warm),
            _saved(cold, warm),
            demonstrations,
            number(cloning, 0),
            "",
        ]
        for seed, cold, warm, cloning in zip(
            comparison.seeds, comparison.cold, comparison.warm, comparison.cloning, strict=True
        )
    ]
    if comparison.reached:
        cold, warm = mean_steps(comparison.cold), mean_steps(comparison.warm)
        saving, added = comparison.saving, comparison.saving_with_demonstrations
        steps = number(cold.value, 0), number(warm.value, 0)
        found.append(["mean", *steps, percent(saving.value), demonstrations, "", percent(added.value)])
        ends = interval(cold), interval(warm)
        found.append(["95 % interval", *ends, percent_interval(saving), "", "", percent_interval(added)])
    return found


def _saved(cold: Steps, warm: Steps) -> str:
    """Nothing is known of a seed in which neither trial reached the target."""
    return percent(1 - warm.steps / cold.steps) if cold.reached or warm.reached else NOTHING


def _steps(steps: Steps) -> str:
    return f"{'' if steps.reached else '> '}{number(steps.steps, 0)}"


def _note(run: RunData, target: Target, found: Sequence[StepsToTarget]) -> Html:
    return element("p", " ".join(_sentences(run, target, found)), class_="note")


def _sentences(run: RunData, target: Target, found: Sequence[StepsToTarget]) -> Iterator[str]:
    there = "iteration in which the mean return of its recent episodes is"
    if is_evaluated(run):
        there = "of two evaluations in a row whose mean return is"
    yield (
        f"The target is {f'the return at {target.reason}' if target.reason else 'report.target'}; a trial is "
        f"there at the first {there}. A trial that was not there when its training ended is right-censored: "
        "it counts with the steps that it had, marked by >. So a saving is understated where cold trials "
        "were not there, and overstated where warm ones were not. Intervals are over training seeds "
        "(Student's t; of the saving, Fieller's)."
    )
    if steps := run.demonstrated_steps:
        in_replays = run.experiment.collect.replays is not None
        what = "replays are the same" if in_replays else "demonstrations were collected once"
        yield (
            f"The {steps:,} steps of the {what} for all "
            "seeds; where they are added, it is to each warm trial."
        )
    for comparison in found:
        label = condition_label(run, comparison.architecture, comparison.condition)
        if comparison.void:
            yield f"{label}: void, since it began at the target: {_seeds(comparison.void)}."
        if comparison.left_out:
            yield f"{label}: left out, since a trial ended early: {_seeds(comparison.left_out)}."


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed {listed([str(seed) for seed in seeds])}"


def _applies(run: RunData) -> bool:
    target = target_of(run)
    return target is not None and any(found.seeds for found in steps_to_target(run, target))


SECTION = Section("target", "Steps to target", 25, _applies, build)
