from typing import Any

import gymnasium
import numpy as np
import pytest

from rayrl.envs.demonstrators import make_demonstrator
from rayrl.errors import EnvError

ID = "rayrl/Router-v0"


def vector(num_envs: int = 1, **options: Any) -> Any:
    envs = gymnasium.make_vec(ID, num_envs=num_envs, **options).unwrapped
    envs.reset(seed=0)
    return envs


def act(name: str, envs: Any) -> list[int]:
    actions: list[int] = make_demonstrator(ID, name, seed=0).act(envs, None).tolist()
    return actions


def score(name: str, envs: Any) -> float:
    demonstrator = make_demonstrator(ID, name, seed=1)
    observations, _ = envs.reset(seed=0)
    returns, truncated = 0.0, np.zeros(1, bool)
    while not truncated.any():
        observations, rewards, _, truncated, _ = envs.step(demonstrator.act(envs, observations))
        returns += rewards.mean()
    return returns


def test_round_robin_takes_replicas_in_turn_and_starts_over_with_the_episode() -> None:
    envs = vector(replicas=3, requests=5)
    taken = []
    for _ in range(8):
        taken += act("round_robin", envs)
        envs.step(np.array(taken[-1:]))
    assert taken[:5] == [0, 1, 2, 0, 1]
    # The sixth step begins the next episode and ignores its action.
    assert taken[6:] == [0, 1]


def test_least_outstanding_counts_waiting_and_running_and_takes_the_first_of_equals() -> None:
    envs = vector(2, replicas=3)
    replicas = envs.episodes.simulation.replicas
    replicas["waiting"] = [[2, 0, 0], [1, 0, 0]]
    replicas["running"] = [[0, 1, 1], [0, 1, 1]]
    assert act("least_outstanding", envs) == [1, 0]


def test_join_shortest_work_knows_how_long_requests_will_run() -> None:
    envs = vector(replicas=2)
    simulation = envs.episodes.simulation
    requests = simulation.requests[0]
    # Two short requests wait on replica 0, and a long one on replica 1; the new one is long, too.
    requests["prefill"][:4], requests["decode"][:4] = 10, [5, 5, 500, 500]
    requests["behind"][:3] = [1, -1, -1]
    simulation.replicas["head"][0], simulation.replicas["waiting"][0] = [0, 2], [2, 1]
    simulation.episodes["decision"] = 3
    assert act("join_shortest_work", envs) == [0]
    assert act("least_outstanding", envs) == [1]
    # Beside a new request of 3 tokens, each of the others does the work of 3 tokens only.
    requests["decode"][3] = 3
    assert act("join_shortest_work", envs) == [1]


def test_join_shortest_work_prefers_a_faster_replica() -> None:
    envs = vector(replicas=2, speeds=[1.0, 1.5])
    assert act("join_shortest_work", envs) == [1]


def test_returns_tell_good_routing_from_bad() -> None:
    returns = {
        name: score(name, vector(20))
        for name in ("random", "round_robin", "join_shortest_work", "least_outstanding")
    }
    spread = returns["least_outstanding"] - returns["random"]
    scores = {name: (value - returns["random"]) / spread for name, value in returns.items()}
    assert spread > 1000
    assert 0.3 < scores["round_robin"] < 0.6
    assert 0.7 < scores["join_shortest_work"] < 0.9


def test_the_oracle_serves_more_requests_in_time_than_any_other_rule() -> None:
    goodput = {}
    for name in ("random", "round_robin", "least_outstanding", "join_shortest_work"):
        envs, demonstrator = vector(20), make_demonstrator(ID, name, seed=1)
        truncated = np.zeros(1, bool)
        while not truncated.any():
            *_, truncated, info = envs.step(demonstrator.act(envs, None))
        goodput[name] = info["goodput"].mean()
    assert sorted(goodput, key=lambda name: goodput[name]) == list(goodput)


def test_another_environment_is_refused() -> None:
    envs = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync").unwrapped
    with pytest.raises(EnvError, match="act on RouterVectorEnv, not on SyncVectorEnv"):
        act("round_robin", envs)
