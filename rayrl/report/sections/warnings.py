"""Everything about a run that was not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.evaluation.result import EvaluationResult
from rayrl.report.html import element
from rayrl.report.run_data import INEXACT, RunData, Trial
from rayrl.report.sections.demonstrations import never_taken
from rayrl.report.sections.registry import Block, Section
from rayrl.report.several_runs import SeveralRuns
from rayrl.report.text import listed

_MOST_NAMED = 5


def build(run: RunData) -> Sequence[Block]:
    """A list of sentences."""
    return [element("ul", *(element("li", text) for text in warnings_of(run)), class_="warnings")]


def compare(comparison: SeveralRuns) -> Sequence[Block]:
    """The same for every run, each with its letter."""
    found = [f"{letter}: {text}" for letter, run in comparison.lettered for text in warnings_of(run)]
    return [element("ul", *(element("li", text) for text in found), class_="warnings")] if found else []


def warnings_of(run: RunData) -> list[str]:
    """One sentence for each thing."""
    return [
        *_of_demonstrations(run),
        *(text for trial in run.trials for text in _of_trial(trial)),
        *_of_evaluations(run),
        *run.problems,
    ]


def _of_demonstrations(run: RunData) -> Iterator[str]:
    if missing := never_taken(run):
        named = listed([str(action) for action in missing])
        if run.experiment.collect.replays is not None:
            yield (
                f"No replay ever takes action {named}: add to collect.replays some that do, if there is a "
                "use for it."
            )
        else:
            yield (
                f"No demonstrator ever took action {named}: add one that does to collect.demonstrators, or a "
                "scenario in which one does to collect.scenarios."
            )
    for pretraining in run.pretraining:
        for text in pretraining.summary.warnings if pretraining.summary else ():
            yield f"{pretraining.name}: {text}."


def _of_trial(trial: Trial) -> Iterator[str]:
    state = trial.state
    if state is None:
        return
    if state.state == "failed":
        yield f"{trial.name}: failed at step {state.step:,}: {state.error or 'the reason is not recorded'}"
    elif state.state != "finished":
        yield f"{trial.name}: {state.state} at step {state.step:,} of {state.total_steps:,}."
    if state.stop_reason:
        yield f"{trial.name}: ended at step {state.step:,}, since {state.stop_reason}."
    for warning in (*state.warnings, *state.incidents):
        yield f"{trial.name}: {warning}."
    if not state.exact:
        yield f"{trial.name}: not exact: {INEXACT}."
    if state.resumed_from:
        steps = listed([f"{step:,}" for step in state.resumed_from])
        yield f"{trial.name}: resumed from step {steps}{', exactly' if state.exact else ''}."


def _of_evaluations(run: RunData) -> Iterator[str]:
    """What is said of the whole, and episodes that raised, by their level where it has a name."""
    yield from (f"{text[0].upper()}{text[1:]}." for text in run.evaluation_warnings)
    results = {
        **{trial.name: trial.evaluation for trial in run.trials},
        **{pretraining.name: pretraining.evaluation for pretraining in run.pretraining},
        **{f"The demonstrator {name}": result for name, result in run.demonstrators.items()},
    }
    for name, result in results.items():
        if result is None or not any(result.errors):
            continue
        raised = [episode for episode, error in enumerate(result.errors) if error]
        first = result.errors[raised[0]]
        named = listed([_episode(result, episode) for episode in raised[:_MOST_NAMED]])
        others = f" and {len(raised) - _MOST_NAMED} others" if len(raised) > _MOST_NAMED else ""
        yield f"{name}: raised in its evaluation, in {named}{others}, first {first}."


def _episode(result: EvaluationResult, episode: int) -> str:
    level = result.levels[episode] if result.levels else None
    return f"level {level}" if level else f"the episode of seed {result.seeds[episode]}"


SECTION = Section("warnings", "Warnings", 70, lambda run: bool(warnings_of(run)), build, compare)
