"""Each sampler draws by its weights, and several shards draw as one does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from rayrl.config.seeding import Role, generator
from rayrl.errors import ConfigError, DataError
from rayrl.experience.replay import PriorityOptions, ReplayBuffer, Sampler, Where, register_sampler
from rayrl.experience.replay.requests import Fragments, Picked, Request, Target, Trajectories, Transitions
from rayrl.experience.replay.samplers import Census, make_sampler
from rayrl.experience.replay.union import sample
from rayrl.experience.replay.view import View
from tests.experience.replay.building import TERMINATED, batch, buffer, in_domains

EPISODES = 12
LENGTHS = [3, 9, 4, 6, 2, 8, 5, 7, 3, 4, 6, 3]
DRAWS = 30_000
DOMAINS = ["a", "b", "a", "a", "c", "a", "b", "a", "a", "a", "a", "a"]


def shards(count: int, **options: Any) -> list[ReplayBuffer]:
    """Twelve episodes of different lengths and domains, dealt to shards, with scores and priorities."""
    made = [buffer(priorities=PriorityOptions(alpha=1.0, epsilon=0.0), **options) for _ in range(count)]
    for e in range(EPISODES):
        of = made[e % count]
        of.add(in_domains([(e, 0, LENGTHS[e], TERMINATED)], [DOMAINS[e]]))
        shown = of.sample_transitions(2000)
        actions: Any = shown.columns["actions"]
        of.update_priorities(shown.row_ids, priority(actions))
    for of in made:
        of.score(lambda of_batch: score(of_batch.columns["actions"] // 1000))
    return made


def priority(shown: NDArray[np.int64]) -> NDArray[np.float64]:
    return 0.25 + shown % 1000 % 4


def score(episode: Any) -> NDArray[np.float64]:
    return -(((np.asarray(episode) * 7 % 5) - 1.5) ** 2)


def steps() -> NDArray[np.int64]:
    return np.array([1000 * e + s for e in range(EPISODES) for s in range(LENGTHS[e])])


def windows(length: int) -> NDArray[np.int64]:
    return np.array([1000 * e + s for e in range(EPISODES) for s in range(LENGTHS[e] - length + 1)])


def per_trajectory(items: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of trajectories spread over their items."""
    episodes = items // 1000
    return weights[episodes] / np.bincount(episodes, minlength=EPISODES)[episodes]


def rectified(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0.0, (scores - scores.mean()) / scores.std())


def high(items: NDArray[np.int64], fraction: float) -> NDArray[np.float64]:
    present = np.unique(items // 1000)
    returned = np.array([sum(range(1000 * e, 1000 * e + LENGTHS[e])) for e in range(EPISODES)])
    best = present[np.argsort(returned[present])[-int(np.ceil(fraction * len(present))) :]]
    return np.isin(items // 1000, best).astype(np.float64)


def balanced(items: NDArray[np.int64]) -> NDArray[np.float64]:
    domains = np.array(DOMAINS)[items // 1000]
    return np.array([1 / (domains == domain).sum() for domain in domains])


Weights = Callable[[NDArray[np.int64]], NDArray[np.float64]]
CASES: dict[str, tuple[Target, str, dict[str, Any], NDArray[np.int64], Weights]] = {
    "uniform": (Transitions(), "uniform", {}, steps(), lambda i: np.ones(len(i))),
    "uniform fragments": (Fragments(4), "uniform", {}, windows(4), lambda i: np.ones(len(i))),
    "uniform trajectories": (Trajectories(4), "uniform", {}, windows(1), lambda i: (i % 1000 == 0) * 1.0),
    "prioritized": (Transitions(), "prioritized", {}, steps(), priority),
    "balanced": (Transitions(), "balanced", {}, steps(), balanced),
    "balanced fragments": (Fragments(3), "balanced", {}, windows(3), balanced),
    "high_reward": (Fragments(3), "high_reward", {"fraction": 0.3}, windows(3), lambda i: high(i, 0.3)),
    "on_policiness": (
        Fragments(2),
        "on_policiness",
        {},
        windows(2),
        lambda i: per_trajectory(i, rectified(score(np.arange(EPISODES)))),
    ),
    "on_policiness, summed": (
        Fragments(2),
        "on_policiness",
        {"likelihood": "sum"},
        windows(2),
        lambda i: per_trajectory(i, rectified(score(np.arange(EPISODES)) * np.array(LENGTHS))),
    ),
}


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("case", CASES)
def test_draws_are_as_likely_as_their_weights_over_any_number_of_shards(case: str, count: int) -> None:
    target, name, options, items, weigh = CASES[case]
    request = Request(target, make_sampler(name, **options))
    weights = weigh(items)
    if isinstance(target, Trajectories):
        weights = weights * (np.array(LENGTHS)[items // 1000] >= target.min_length)
    drawn = sample(shards(count), request, DRAWS, generator(5, Role.replay, rank=count))
    actions: Any = drawn.columns["actions"]
    first = (
        actions[drawn.offsets[:-1]] if isinstance(target, Trajectories) else actions.reshape(DRAWS, -1)[:, 0]
    )
    counts = np.array([np.count_nonzero(first == item) for item in items])
    assert counts.sum() == DRAWS
    assert not counts[weights == 0].any()
    drawable = weights > 0
    expected = DRAWS * weights[drawable] / weights.sum()
    assert stats.chisquare(counts[drawable], expected).pvalue > 1e-3


@pytest.mark.parametrize("count", [1, 2, 4])
def test_importance_weights_are_those_of_the_union(count: int) -> None:
    request = Request(Transitions(), make_sampler("prioritized", beta=0.7))
    drawn = sample(shards(count), request, 4000, generator(1, Role.replay))
    shown, all_steps = drawn.columns["actions"], steps()
    share = priority(shown) / priority(all_steps).sum()
    expected = (len(all_steps) * share) ** -0.7
    np.testing.assert_allclose(drawn.weights, expected / expected.max(), rtol=1e-5)
    assert set(drawn.shards.tolist()) == set(range(count))


@pytest.mark.parametrize("where", [Where(domain="b"), Where(domain=["b", "c"]), Where(domain="a")])
@pytest.mark.parametrize("name", ["uniform", "prioritized"])
def test_filters(where: Where, name: str) -> None:
    (of,) = shards(1)
    drawn = of.sample_transitions(DRAWS, sampler=name, where=where)
    items = steps()
    items = items[np.isin(np.array(DOMAINS)[items // 1000], where.domain)]
    counts = [np.count_nonzero(drawn.columns["actions"] == item) for item in items]
    weights = priority(items) if name == "prioritized" else np.ones(len(items))
    assert sum(counts) == DRAWS
    assert stats.chisquare(counts, DRAWS * weights / weights.sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", ["uniform", "prioritized"])
def test_a_filter_that_few_steps_pass(name: str) -> None:
    of = buffer(priorities=PriorityOptions(alpha=1.0, epsilon=0.0))
    of.add(in_domains([(e, 0, 20, TERMINATED) for e in range(40)], ["common"] * 39 + ["rare"]))
    drawn = of.sample_transitions(2000, sampler=name, where=Where(domain="rare"))
    counts = np.bincount(drawn.columns["actions"] - 39_000, minlength=20)  # type: ignore[operator]
    assert len(counts) == 20
    assert stats.chisquare(counts).pvalue > 1e-3


def test_recent_draws_the_newest_share() -> None:
    of = buffer(100)
    for first in range(0, 200, 4):
        of.add(batch([(first, 0, 4, TERMINATED)]))
    drawn = of.sample_transitions(4000, sampler=make_sampler("recent", fraction=0.1))
    newest = [1000 * e + s for e in (192, 196) for s in range(4)] + [188_002, 188_003]
    counts = [np.count_nonzero(drawn.columns["actions"] == shown) for shown in newest]
    assert sum(counts) == 4000
    assert stats.chisquare(counts).pvalue > 1e-3
    fragments = of.sample_fragments(500, 3, sampler=make_sampler("recent", fraction=0.1))
    assert set(fragments.actions[:, 0].tolist()) == {192_000, 192_001, 196_000, 196_001}
    whole = of.sample_trajectories(500, sampler=make_sampler("recent", fraction=0.1))
    assert set(whole.actions.tolist()) == {e * 1000 + s for e in (188, 192, 196) for s in range(4)}


def test_equal_scores_weigh_the_same() -> None:
    of = buffer()
    of.add(batch([(e, 0, 5, TERMINATED) for e in range(4)]))
    drawn = of.sample_by_on_policiness(4000, lambda of_batch: np.full(of_batch.num_steps, -2.5))
    counts = np.bincount(drawn.actions[:, 0] // 1000, minlength=4)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_priorities_of_evicted_steps_are_dropped_and_counted() -> None:
    of = buffer(20, priorities=PriorityOptions())
    of.add(batch([(0, 0, 20, TERMINATED)]))
    drawn = of.sample_transitions(200)
    _, first = np.unique(drawn.row_ids, return_index=True)
    ids = drawn.row_ids[first]
    of.add(batch([(1, 0, 15, TERMINATED)]))
    assert of.update_priorities(ids, np.full(20, 9.0)) == of.updates_dropped == 15
    rows, live = of.storage.index.find(ids)
    assert live.tolist() == [False] * 15 + [True] * 5
    leaves = of.storage.priorities.trees.leaves  # type: ignore[union-attr]
    np.testing.assert_allclose(leaves[rows.block, rows.offset], (9 + 1e-6) ** 0.6, rtol=1e-6)


def test_new_steps_begin_with_the_highest_priority_so_far() -> None:
    of = buffer(priorities=PriorityOptions(alpha=1.0, epsilon=0.0))
    of.add(batch([(0, 0, 4, TERMINATED)]))
    of.update_priorities(np.arange(4), np.array([0.0, 0.0, 3.0, 0.0]))
    of.add(batch([(1, 0, 1, TERMINATED)]))
    drawn = of.sample_transitions(4000, sampler="prioritized")
    counts = [np.count_nonzero(drawn.row_ids == row_id) for row_id in (2, 4)]
    assert sum(counts) == 4000
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_last_of_two_updates_of_a_step_holds() -> None:
    of = buffer(priorities=PriorityOptions(alpha=1.0, epsilon=0.0))
    of.add(batch([(0, 0, 2, TERMINATED)]))
    of.update_priorities(np.array([0, 1, 0]), np.array([5.0, 2.0, 0.5]))
    weights = of.storage.priorities  # type: ignore[assignment]
    assert weights.trees.leaves[0, :2].tolist() == [0.5, 2.0]  # type: ignore[union-attr]
    assert weights.group_weights[0] == 2.5  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_priorities_out_of_range(wrong: float) -> None:
    of = buffer(priorities=PriorityOptions())
    of.add(batch([(0, 0, 4, TERMINATED)]))
    with pytest.raises(DataError, match=f"priorities: priority {wrong} at position 1"):
        of.update_priorities(np.array([0, 1]), np.array([1.0, wrong]))
    with pytest.raises(DataError, match=r"\(1,\) priorities for \(2,\) rows"):
        of.update_priorities(np.array([0, 1]), np.array([1.0]))


def test_what_prioritized_cannot_do() -> None:
    of = buffer()
    of.add(batch([(0, 0, 4, TERMINATED)]))
    with pytest.raises(DataError, match="the buffer keeps no priorities"):
        of.sample_transitions(1, sampler="prioritized")
    with pytest.raises(DataError, match="the buffer keeps no priorities"):
        of.update_priorities(np.array([0]), np.array([1.0]))
    with pytest.raises(DataError, match="draws steps, not fragments of 3 steps"):
        of.sample_fragments(1, sampler="prioritized")


def test_unknown_samplers_and_options() -> None:
    of = buffer()
    with pytest.raises(ConfigError, match="no sampler is named 'unifrom'; did you mean 'uniform'"):
        of.sample_transitions(1, sampler="unifrom")
    with pytest.raises(ConfigError, match=r"fraction = 2\.0"):
        make_sampler("recent", fraction=2.0)


def test_scores_must_be_there() -> None:
    of = buffer()
    of.add(batch([(0, 0, 4, TERMINATED), (1, 0, 4, TERMINATED)]))
    with pytest.raises(DataError, match="2 of 2 trajectories have no on-policiness score"):
        of.sample_fragments(1, sampler="on_policiness")


def test_a_sampler_of_the_users_own_is_registered_by_name() -> None:
    @register_sampler("first_steps")
    class FirstSteps(Sampler):
        """Only first steps of episodes."""

        def mass(self, view: View, union: Census) -> float:
            return float(len(view.candidates.entry))

        def draw(self, view: View, n: int, union: Census, rng: np.random.Generator) -> Picked:
            picked = view.of_trajectories(np.ones(len(view.candidates.entry)), 20 * n, rng)
            return picked.take(np.flatnonzero(view.index.row_ids(picked.block, picked.row) % 4 == 0)[:n])

    of = buffer()
    of.add(batch([(e, 0, 4, TERMINATED) for e in range(4)]))
    drawn = of.sample_transitions(50, sampler="first_steps")
    assert (drawn.columns["actions"] % 1000 == 0).all()  # type: ignore[operator]
    assert len(drawn.row_ids) == 50


@pytest.mark.parametrize(
    ("block", "row"),
    [(0, 2), (0, 9), (0, -1), (40, 0), (-1, 0)],
    ids=["too near the end", "beyond the rows", "before them", "no such block", "a negative one"],
)
def test_what_a_users_sampler_draws_is_looked_at_before_it_is_read(block: int, row: int) -> None:
    class Astray(Sampler):
        """Draws one item that is there, and one that is not."""

        def mass(self, view: View, union: Census) -> float:
            return 1.0

        def draw(self, view: View, n: int, union: Census, rng: np.random.Generator) -> Picked:
            return Picked(np.array([0, block]), np.array([0, row]))

    of = buffer()
    of.add(batch([(0, 0, 4, TERMINATED)]))
    with pytest.raises(DataError, match="drew 1 items that are not held, of 2 where 2 fragments"):
        of.sample_fragments(2, sampler=Astray())
