"""Fills the tables of a page of results from run folders.

python docs/write_results.py docs/results/warm_start.md cartpole=runs/cartpole router=runs/router …

Tables stand between ``<!-- NAME KIND -->`` and ``<!-- end -->``, where NAME is that of a run and KIND one of
``TABLES``. Tables of runs that are not given stay as they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rayrl.comparison.quantities import criterion_label, quantity
from rayrl.comparison.record import FILE, Comparison
from rayrl.evaluation.comparison import paired_values
from rayrl.evaluation.result import RETURN, SUCCESS
from rayrl.evaluation.statistics import Estimate, mean_over_episodes, mean_over_runs
from rayrl.report.drops import drops_of
from rayrl.report.outcomes import Kind, Outcome, categories_in, condition_label, outcomes_of
from rayrl.report.run_data import COLD, WARM, RunData, Trial
from rayrl.report.run_reader import read_run
from rayrl.report.sections import drops, target
from rayrl.report.steps_to_target import mean_steps, steps_to_target, target_of
from rayrl.report.text import (
    NOTHING,
    duration,
    interval,
    listed,
    mean,
    number,
    percent,
    percent_interval,
    signed,
)
from rayrl.report.warm_start import TRAINING_RETURN
from rayrl.storage.atomic import read_json

ORACLE = "join_shortest_work"
METRICS = {"latency_p99": -1, "goodput": 1}
"""What routers are compared by, and which sign is better."""
SCORES = (0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
"""Between random actions, 0, and the reference, 1."""
ANCHOR = 450.0
"""The training return of RLlib's example, rllib/examples/offline_rl/train_w_bc_finetune_w_ppo.py."""


def setup(run: RunData) -> Iterator[str]:
    """What ran, on what, how long."""
    versions = run.versions
    packages = [f"{name} {versions[name]}" for name in ("rayrl", "ray", "torch", "numpy") if name in versions]
    seconds = sum(float(np.nansum(trial.curve["seconds/total"])) for trial in run.trials)
    experiment = run.experiment
    yield (
        f"Seeds {listed([str(seed) for seed in experiment.seeds])}, {experiment.train.total_steps:,} steps a "
        f"trial, {len(run.trials)} trials that trained for {duration(seconds)} in all; {', '.join(packages)}."
    )


def levels(run: RunData) -> Iterator[str]:
    """Returns and scores of everybody in the evaluation after training."""
    outcomes = outcomes_of(run)
    rows = []
    for row in outcomes.rows:
        estimate = (
            row.mean(RETURN) if row.kind is Kind.demonstrator else mean_over_runs(row.seed_means(RETURN))
        )
        score = outcomes.score(row)
        rows.append([row.label, mean(estimate), interval(estimate), mean(score) if score else NOTHING])
    for name, told in (run.dataset.extra.demonstrators if run.dataset else {}).items():
        # A policy may have demonstrated by drawing its actions; it is evaluated by its most likely ones.
        rows.append([f"{name}, as it demonstrated", number(told["return_mean"]), NOTHING, NOTHING])
    yield from _table(["", "return", "95 % interval", "score"], rows)


def steps(run: RunData) -> Iterator[str]:
    """Steps to target, seed by seed, of each condition that starts from a policy."""
    goal = target_of(run)
    assert goal is not None, "the experiment has a target"
    reason = f", {goal.reason}" if goal.reason else ""
    yield f"Target: a return of {number(goal.value)}{reason}."
    for comparison in steps_to_target(run, goal):
        yield ""
        yield f"{condition_label(run, comparison.architecture, comparison.condition)}:"
        yield ""
        yield from _table(target.HEADER, target.rows(comparison))
        for name, seeds in (("void", comparison.void), ("left out", comparison.left_out)):
            if seeds:
                yield ""
                yield f"{name}: seed {listed([str(seed) for seed in seeds])}."


def targets(run: RunData) -> Iterator[str]:
    """The saving of held trials at other scores than the target's."""
    rows = []
    for score in SCORES:
        report = run.experiment.report.model_copy(update={"target": None, "target_score": score})
        at_score = replace(run, experiment=run.experiment.model_copy(update={"report": report}))
        goal = target_of(at_score)
        assert goal is not None, "random actions and the reference were evaluated"
        for found in steps_to_target(at_score, goal):
            if found.condition == WARM:
                reached = [sum(each.reached for each in steps) for steps in (found.cold, found.warm)]
                rows.append(
                    [
                        f"{score:g}",
                        number(goal.value),
                        str(len(found.void)),
                        *(f"{there} of {len(found.seeds)}" for there in reached),
                        number(mean_steps(found.cold).value, 0),
                        number(mean_steps(found.warm).value, 0),
                        f"{percent(found.saving.value)} ({percent_interval(found.saving)})",
                    ]
                )
    header = ["score", "return", "void", "cold there", "warm there", "cold", "warm", "saved"]
    yield from _table(header, rows)


def held(run: RunData) -> Iterator[str]:
    """Evaluations below the start while the reference KL is on."""
    yield from _table(drops.HEADER, list(drops.rows(run, drops_of(run))))


def rivals(run: RunData) -> Iterator[str]:
    """Warm policies against each demonstrator, in every category."""
    rows = []
    for category in categories_in(run):
        outcomes = outcomes_of(run, category)
        (warm,) = (
            row for row in outcomes.of(Kind.trained) if row.label == condition_label(run, *_group(run))
        )
        others = outcomes.of(Kind.demonstrator)
        for metric, sign in METRICS.items():
            differences = {other.label: _difference(warm, other, metric) for other in others}
            beaten = all(sign * each.sign > 0 for name, each in differences.items() if name != ORACLE)
            cells = [
                f"{signed(each)} ({interval(each)})"
                for each in (differences[name] for name in _known_first(differences))
            ]
            value = mean_over_runs(warm.seed_means(metric))
            rows.append([category, metric, mean(value), *cells, "yes" if beaten else "no"])
    names = _known_first({row.label for row in outcomes_of(run).of(Kind.demonstrator)})
    header = ["category", "", "policy", *(f"minus {name}" for name in names), "beats the three"]
    yield from _table(header, rows)


def anchor(run: RunData) -> Iterator[str]:
    """The numbers that RLlib's example of cloning and PPO states, of each seed."""
    cloned = {each.seed: each.evaluation for each in run.pretraining}
    rows = []
    for trial in run.trials:
        if trial.condition == WARM:
            evaluation = cloned[trial.seed]
            returns = trial.curve[TRAINING_RETURN]
            before = number(None if evaluation is None else float(evaluation.values(RETURN).mean()))
            rows.append(
                [f"seed {trial.seed}", before, number(returns[0]), number(returns[2]), *_until_anchor(trial)]
            )
    header = [
        "",
        "cloned, evaluated",
        "first iteration",
        "after two more",
        "episodes to 450",
        "seconds to 450",
    ]
    yield from _table(header, rows)


def success(run: RunData) -> Iterator[str]:
    """The share of episodes in which everybody succeeds, in every category."""
    by_category = {name: outcomes_of(run, name) for name in categories_in(run)}
    labels = dict.fromkeys(row.label for outcomes in by_category.values() for row in outcomes.rows)
    rows = []
    for label in labels:
        cells = []
        for outcomes in by_category.values():
            (row,) = (row for row in outcomes.rows if row.label == label)
            estimate = mean_over_runs(row.seed_means(SUCCESS))
            cells.append(mean(estimate) + (f" ({interval(estimate)})" if estimate.low is not None else ""))
        rows.append([label, *cells])
    yield from _table(["", *by_category], rows)


def gained(run: RunData) -> Iterator[str]:
    """Successes of trained policies minus those of the ones they started from, on the same levels by seed."""
    rows = []
    for category in categories_in(run):
        outcomes = outcomes_of(run, category)
        (trained,), (cloned,) = outcomes.of(Kind.trained), outcomes.of(Kind.cloned)
        of_seed = [
            np.subtract(*paired_values(pair, SUCCESS))
            for pair in zip(trained.results, cloned.results, strict=True)
        ]
        over_seeds = mean_over_runs([float(each.mean()) for each in of_seed])
        over_levels = mean_over_episodes(np.mean(of_seed, axis=0))
        rows.append(
            [
                category,
                ", ".join(f"{each.mean():+.3f}".replace("-", "−") for each in of_seed),
                f"{signed(over_seeds)} ({interval(over_seeds)})",
                interval(over_levels),
            ]
        )
    yield from _table(["category", "each seed", "mean (95 % interval over seeds)", "over levels"], rows)


def decision(run: RunData) -> Iterator[str]:
    """The decision matrix of a comparison, and its recommendation."""
    found = Comparison.parse(read_json(run.path / "report" / FILE, "the comparison"), where=FILE)
    criteria = list(found.decision.weights)
    rows = []
    for standing in found.decision.standings:
        candidate = found.candidate(standing.label)
        values = [quantity(name, candidate.criteria[name].value, found.measure) for name in criteria]
        first = NOTHING if standing.first is None else percent(standing.first)
        rows.append([str(standing.rank), standing.label, *values, f"{standing.total:.3f}", first])
    header = ["rank", "", *(criterion_label(name, found.measure) for name in criteria), "total", "first in"]
    yield from _table(header, rows)
    yield ""
    yield " ".join(found.recommendation)


def _until_anchor(trial: Trial) -> list[str]:
    curve = trial.curve
    there = np.flatnonzero(curve[TRAINING_RETURN] >= ANCHOR)
    if not len(there):
        return [NOTHING, NOTHING]
    first = there[0]
    # Episodes of the mean length that is known then; before, none may have come to its end.
    episodes = curve["step"][first] / curve["episode_len_mean"][first]
    return [number(float(episodes), 0), number(float(curve["seconds/total"][: first + 1].sum()), 1)]


def _group(run: RunData) -> tuple[str, str]:
    condition = WARM if WARM in run.experiment.conditions else COLD
    return run.experiment.architectures[0], condition


def _known_first(names: Iterator[str] | Sequence[str] | set[str] | dict[str, Estimate]) -> list[str]:
    """Rules that know no lengths, then the oracle."""
    return sorted(names, key=lambda name: (name == ORACLE, name))


def _difference(a: Outcome, b: Outcome, metric: str) -> Estimate:
    """Of the same episodes, over the training seeds of ``a``; over episodes where there is one seed."""
    (of_b,) = b.results
    by_seed = [np.subtract(*paired_values([result, of_b], metric)) for result in a.results]
    if len(by_seed) == 1:
        return mean_over_episodes(by_seed[0])
    return mean_over_runs([float(np.nanmean(each)) for each in by_seed])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield f"| {' | '.join(row)} |"


TABLES: dict[str, Callable[[RunData], Iterator[str]]] = {
    each.__name__: each
    for each in (setup, levels, steps, targets, held, rivals, anchor, success, gained, decision)
}


BLOCK = re.compile(r"<!-- (?P<name>\w+) (?P<kind>\w+) -->\n.*?<!-- end -->", re.DOTALL)
"""A table, with what it is of."""


def fill(page: str, runs: dict[str, RunData]) -> str:
    """The page with the tables of the given runs."""

    def filled(block: re.Match[str]) -> str:
        name, kind = block["name"], block["kind"]
        if name not in runs:
            return block[0]
        return "\n".join([f"<!-- {name} {kind} -->", *TABLES[kind](runs[name]), "<!-- end -->"])

    return BLOCK.sub(filled, page)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    given = dict(argument.split("=", 1) for argument in sys.argv[2:])
    text = fill(
        file.read_text(encoding="utf-8"), {name: read_run(Path(path)) for name, path in given.items()}
    )
    file.write_text(text, encoding="utf-8")
