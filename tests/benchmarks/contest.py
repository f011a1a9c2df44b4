"""One row of the benchmarks: contestants that take turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.benchmarks.outcome import Outcome

ROUNDS = 7

Contestant = Callable[[], float]
"""Does some work, and gives its rate: units of the row per second."""


@dataclass(frozen=True)
class Fact:
    """A figure of rayrl beside its rate, such as the memory that it takes.

    Args:
        measure: gives it; called once, after the rounds.
        at_most: what it may be.
    """

    measure: Callable[[], float]
    at_most: float


@dataclass(frozen=True)
class Contest:
    """Who takes part in a row, and what rayrl is to reach.

    Args:
        unit: what is counted per second.
        rayrl: rayrl's own rate.
        limit: the rate of the same work without any library around it; None where there is none.
        peers: rates of other libraries, by name.
        goals: by ``limit`` or a peer's name, the least share of its rate that rayrl is to reach.
        at_least: the least rate that rayrl is to reach.
        facts: figures beside the rates, by what they are.
    """

    unit: str
    rayrl: Contestant
    limit: Contestant | None = None
    peers: Mapping[str, Contestant] = field(default_factory=dict)
    goals: Mapping[str, float] = field(default_factory=dict)
    at_least: float | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)


def hold(row: str, contest: Contest, rounds: int = ROUNDS) -> Outcome:
    """Lets everybody warm up, then measures all in turn, several times, each time in the other order.

    A goal is held against the median of the rounds' ratios.
    """
    contestants = {"rayrl": contest.rayrl, **contest.peers}
    if contest.limit is not None:
        contestants["limit"] = contest.limit
    for contestant in contestants.values():
        contestant()
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(rounds):
        for name in list(contestants)[:: -1 if round_ % 2 else 1]:
            with _no_collection():
                rates[name].append(contestants[name]())
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {
        name: statistics.median(own / other for own, other in zip(rates["rayrl"], values, strict=True))
        for name, values in rates.items()
        if name != "rayrl"
    }
    missed = [
        f"{goal:g} × {name} wanted, {ratios[name]:.2f} reached"
        for name, goal in contest.goals.items()
        if ratios[name] < goal
    ]
    if contest.at_least is not None and medians["rayrl"] < contest.at_least:
        missed.append(f"{contest.at_least:,.0f} wanted, {medians['rayrl']:,.0f} reached")
    facts = {name: fact.measure() for name, fact in contest.facts.items()}
    missed += [
        f"{name} {fact.at_most:g} at most wanted, {facts[name]:.2f} reached"
        for name, fact in contest.facts.items()
        if facts[name] > fact.at_most
    ]
    return Outcome(row, contest.unit, medians, ratios, facts, tuple(missed))


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def timed(count: float, work: Callable[[], object]) -> Contestant:
    """A contestant that does some work, which counts for so many units."""

    def run() -> float:
        started = time.perf_counter()
        work()
        return count / (time.perf_counter() - started)

    return run
