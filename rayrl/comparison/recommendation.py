"""The recommendation in words: who, why, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rayrl.comparison.criteria import COSTS, Criterion
from rayrl.comparison.quantities import in_prose, quantity
from rayrl.comparison.record import Candidate, Comparison, MeasureKind
from rayrl.evaluation.statistics import ENOUGH_RUNS, FEWEST_RUNS
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
    measure = comparison.measure
    # Where the first sentence names several, "it" would be nobody.
    it = in_prose(best.label) if ties else "it"
    its = f"the {measure} of {it}" if ties else f"its {measure}"
    if ties:
        yield f"Nothing that was weighed tells {_names([best.label, *ties])} apart."
    else:
        yield f"Take {in_prose(best.label)}: {_quality(chosen, measure)}."
    if not chosen.has_statistics:
        seeds = count(len(chosen.seeds), "training seed")
        yield f"How sure that is cannot be said: {seeds} with results, and it takes {FEWEST_RUNS} or more."
    rival = _rival(comparison, [best.label, *ties])
    if rival is not None:
        yield _against(comparison, chosen, rival, capitalized(its))
    second = max(others, key=lambda standing: standing.first or 0.0, default=None)
    if best.first is not None and second is not None:
        yield (
            f"With these weights {it} comes first in {percent(best.first)} of resamples of the training "
            f"seeds; next is {in_prose(second.label)} with {percent(second.first)}."
        )
    yield from _beyond_chance(comparison, chosen, it, its)


def _names(labels: Sequence[str]) -> str:
    return listed([in_prose(label) for label in labels])


def _quality(candidate: Candidate, measure: MeasureKind) -> str:
    estimate = candidate.mean
    runs = count(len(candidate.seeds), "training seed")
    if estimate.low is None:
        return f"{measure} {mean(estimate)}, {runs}"
    return f"{measure} {mean(estimate)} ({interval(estimate)} over {runs})"


def _rival(comparison: Comparison, besides: Sequence[str]) -> Candidate | None:
    """The best of the others by quality."""
    others = [candidate for candidate in comparison.candidates if candidate.label not in besides]
    return max(others, key=lambda candidate: candidate.mean.value or 0.0, default=None)


def _against(comparison: Comparison, chosen: Candidate, rival: Candidate, its: str) -> str:
    """How it stands to the best of the others, and what it costs beside that one."""
    difference = (chosen.mean.value or 0.0) - (rival.mean.value or 0.0)
    apart = quantity(Criterion.success, abs(difference), comparison.measure)
    how = "that of" if difference == 0 else f"{apart} {'above' if difference > 0 else 'below'}"
    text = f"{its} is {how} {in_prose(rival.label)}, the best of the others"
    pairs = [pair for pair in comparison.pairs_seen_from(chosen.label) if pair.b == rival.label]
    if pairs:
        text += f" (probability of improvement {number(pairs[0].probability.value, 2)})"
    costs = list(_costs(chosen, rival))
    return f"{text}, {listed(costs)}." if costs else f"{text}."


def _costs(chosen: Candidate, rival: Candidate) -> Iterator[str]:
    """What differs noticeably: ``at 0.25 times its latency``."""
    for cost in COSTS:
        own, other = chosen.criteria[cost].value, rival.criteria[cost].value
        if own and other and not 1 / _NOTEWORTHY < own / other < _NOTEWORTHY:
            yield f"at {number(own / other, 2)} times its {cost.words}"


def _beyond_chance(comparison: Comparison, chosen: Candidate, it: str, its: str) -> Iterator[str]:
    """From whom it can be told by what policies are scored by, and from whom it cannot."""
    pairs = comparison.pairs_seen_from(chosen.label)
    few = [pair for pair in pairs if pair.p_value is None]
    beaten = [pair.b for pair in few if min(chosen.run_means) > max(comparison.candidate(pair.b).run_means)]
    for sign, word in ((1, "above"), (-1, "below")):
        if apart := [pair.b for pair in pairs if pair.sign == sign]:
            yield f"{capitalized(its)} is {word} that of {_names(apart)} beyond chance."
    if beaten:
        own = "Each of its runs" if it == "it" else f"Each run of {it}"
        yield f"{own} has a higher {comparison.measure} than any run of {_names(beaten)}."
    if alike := [pair.b for pair in pairs if pair.sign == 0 and pair.b not in beaten]:
        yield f"By {comparison.measure} alone {it} cannot be told from {_names(alike)}."
    if few:
        seeds = count(min(pair.difference.n for pair in few), "training seed")
        yield f"{seeds} cannot exclude chance; that takes {ENOUGH_RUNS} or more of each."
