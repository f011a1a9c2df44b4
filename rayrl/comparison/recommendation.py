"""The recommendation in words: who, why, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.comparison.criteria import COSTS, Criterion
from rayrl.comparison.quantities import in_prose, quantity
from rayrl.comparison.record import Candidate, Comparison, MeasureKind, Standing
from rayrl.evaluation.statistics import ENOUGH_RUNS
from rayrl.report.text import capitalized, count, interval, listed, mean, number, percent

_NOTEWORTHY = 1.15
"""Costs that differ by less than this factor are as good as equal."""


def recommend(comparison: Comparison) -> Iterator[str]:
    """Sentences, the first of which names whom to take.

    Args:
        comparison: of which candidates, pairs and standings are known.
    """
    best, *others = comparison.decision.standings
    chosen = comparison.candidate(best.label)
    ties = [standing.label for standing in others if standing.rank == best.rank]
    if ties:
        names = listed([in_prose(label) for label in (best.label, *ties)])
        yield f"Nothing that was weighed tells {names} apart."
    else:
        yield f"Take {in_prose(best.label)}: {_quality(chosen, comparison.measure)}."
    if comparison.refused:
        yield f"How sure that is cannot be said. {capitalized(comparison.refused)}"
    rival = _rival(comparison, best)
    if rival is not None:
        yield _against(comparison, chosen, rival)
    if best.first is not None and others:
        second = max(others, key=lambda standing: standing.first or 0.0)
        yield (
            f"With these weights it comes first in {percent(best.first)} of resamples of the training seeds; "
            f"next is {in_prose(second.label)} with {percent(second.first)}."
        )
    if alike := _not_told_apart(comparison, best.label):
        names = listed([in_prose(label) for label in alike])
        yield f"By {comparison.measure} alone it cannot be told from {names}."
    fewest = min(len(candidate.seeds) for candidate in comparison.candidates)
    if comparison.refused is None and fewest < ENOUGH_RUNS:
        yield f"{capitalized(count(fewest, 'training seed'))}: few."


def _quality(candidate: Candidate, measure: MeasureKind) -> str:
    estimate = candidate.mean
    runs = count(len(candidate.seeds), "training seed")
    if estimate.low is None:
        return f"{measure} {mean(estimate)}, {runs}"
    return f"{measure} {mean(estimate)} ({interval(estimate)} over {runs})"


def _rival(comparison: Comparison, best: Standing) -> Candidate | None:
    """The best of the others by quality."""
    others = [candidate for candidate in comparison.candidates if candidate.label != best.label]
    return max(others, key=lambda candidate: candidate.mean.value or 0.0, default=None)


def _against(comparison: Comparison, chosen: Candidate, rival: Candidate) -> str:
    """How it stands to the best of the others, and what it costs beside that one."""
    difference = (chosen.mean.value or 0.0) - (rival.mean.value or 0.0)
    apart = quantity(Criterion.success, abs(difference), comparison.measure)
    how = "that of" if difference == 0 else f"{apart} {'above' if difference > 0 else 'below'}"
    text = f"Its {comparison.measure} is {how} {in_prose(rival.label)}, the best of the others"
    if found := _probability(comparison, chosen.label, rival.label):
        text += f" (probability of improvement {found})"
    costs = list(_costs(chosen, rival))
    return f"{text}, {listed(costs)}." if costs else f"{text}."


def _probability(comparison: Comparison, a: str, b: str) -> str | None:
    for pair in comparison.pairs:
        if {pair.a, pair.b} == {a, b}:
            value = pair.probability.value or 0.0
            return number(value if pair.a == a else 1.0 - value, 2)
    return None


def _costs(chosen: Candidate, rival: Candidate) -> Iterator[str]:
    """What differs noticeably: ``at 0.25 times its latency``."""
    for cost in COSTS:
        own, other = chosen.criteria[cost].value, rival.criteria[cost].value
        if own and other and not 1 / _NOTEWORTHY < own / other < _NOTEWORTHY:
            yield f"at {number(own / other, 2)} times its {cost.words}"


def _not_told_apart(comparison: Comparison, label: str) -> Sequence[str]:
    return [
        pair.b if pair.a == label else pair.a
        for pair in comparison.pairs
        if label in (pair.a, pair.b) and pair.sign == 0
    ]
