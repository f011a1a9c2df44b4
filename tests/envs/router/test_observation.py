import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rayrl.envs.router.config import RouterConfig
from rayrl.envs.router.episodes import RouterEpisodes
from rayrl.envs.router.observation import LIMIT, observation_names
from tests.envs.router.fleet import small_config

PENDING = ("age", "num_prefill", "num_processed", "remaining_prefill", "completed", "num_decode", "priority")
CONSTANT = ("total_blocks", "avail_frac", "batch_cap", "block_size", "num_stages")


def named(config: RouterConfig, observation: NDArray[np.float32]) -> dict[str, float]:
    return dict(zip(observation_names(config), observation.tolist(), strict=True))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 4 * (11 + 8 + 7 * 4) + 3 + 7),
        ({"enhanced": False}, 4 * (11 + 7 * 4) + 3),
        ({"replicas": 2, "pending_requests": 0}, 2 * (11 + 8) + 3 + 7),
    ],
)
def test_size_and_names(options: dict[str, Any], size: int) -> None:
    config = RouterConfig.parse(options, where="test")
    names = observation_names(config)
    assert len(names) == len(set(names)) == size
    assert RouterEpisodes(config, num_envs=3).reset().shape == (3, size)


def test_what_a_fleet_looks_like() -> None:
    # A (4 + 9 tokens) is prefilled from 0 to 4. B (30 tokens), which came at 1, then takes 7 of the 8 tokens
    # of each iteration, so 14 are computed by 20, and C, which came at 2, waits. We look at 21.
    config = small_config(3, replicas=2)
    episodes = RouterEpisodes(config, num_envs=1)
    episodes.reset(np.zeros(1, np.uint64))
    requests = episodes.simulation.requests
    requests["arrived"] = [0, 1, 2, 21]
    requests["prefill"], requests["decode"] = [4, 30, 5, 64], [9, 2, 2, 1]
    for _ in range(2):
        episodes.step(np.array([0]))
    seen = named(config, episodes.step(np.array([0])).observations[0])
    assert {name: seen[f"replica_0/{name}"] for name in ("queue_len", "allocation_map_size")} == {
        "queue_len": 3 / 16,
        "allocation_map_size": 2 / 16,
    }
    # A holds 4 blocks, for its 4 + 2 tokens and the one being computed, and B the 15 of its whole prompt.
    assert seen["replica_0/allocated_blocks"] == pytest.approx(19 / 4096)
    assert seen["replica_0/util_frac"] == pytest.approx(19 / 1000)
    assert seen["replica_0/avail_frac"] == pytest.approx(1 - 19 / 1000)
    assert seen["replica_0/running_batches"] == 1
    assert seen["replica_0/total_blocks"] == pytest.approx(1000 / 4096)
    assert seen["replica_0/batch_cap"] == pytest.approx(4 / 64)
    assert seen["replica_0/block_size"] == pytest.approx(2 / 16)
    # Their ages, 20 and 19 s, are clipped.
    b, c = ([seen[f"replica_0/pending_{k}/{name}"] for name in PENDING] for k in range(2))
    assert b == pytest.approx([LIMIT, 30 / 1024, 14 / 1024, 16 / 1024, 14 / 30, 0, 0])
    assert c == pytest.approx([LIMIT, 5 / 1024, 0, 5 / 1024, 0, 0, 0])
    assert all(seen[f"replica_0/pending_2/{name}"] == 0 for name in PENDING)
    # Replica 1 never had a request.
    busy = [name for name, value in seen.items() if name.startswith("replica_1/") and value != 0]
    assert busy == [f"replica_1/{name}" for name in CONSTANT]
    # Queue lengths at the four arrivals: 0, 1, 2, 3.
    assert seen["replica_0/queue_delta"] == 1 / 4
    assert seen["replica_0/queue_trend"] == pytest.approx(1.0)
    assert seen["replica_0/queue_variance"] == pytest.approx(1.25 / 4)
    assert seen["replica_0/historical_peak"] == 3 / 16
    assert seen["replica_0/historical_low"] == 0
    assert seen["replica_0/time_since_peak"] == 0
    assert seen["global/queue_tokens"] == 64 / 1024
    assert seen["global/throughput"] == 0
    assert seen["global/qps"] == 1.0
    assert seen["global/queue_delta"] == 1 / 4
    assert seen["global/load_balance"] == pytest.approx(1 / (1 + 1.5 / 1.5))


def test_observations_stay_finite_and_in_bounds_when_overloaded() -> None:
    config = RouterConfig.parse(
        {
            "target_load": 20.0,
            "kv_cache": {"blocks": 1100},
            "requests": 1000,
            "replicas": 2,
            "batching": {"token_budget": 128},
        },
        where="test",
    )
    episodes = RouterEpisodes(config, num_envs=2)
    episodes.reset(np.array([1, 2], np.uint64))
    largest = 0.0
    for step in range(1000):
        observations = episodes.step(np.array([0, step % 2])).observations
        assert np.isfinite(observations).all()
        largest = max(largest, float(np.abs(observations).max()))
    assert largest == LIMIT


def test_decode_lengths_show_only_when_requests_finish() -> None:
    config = RouterConfig(requests=300)
    episodes = RouterEpisodes(config, num_envs=2)
    episodes.reset(np.array([5, 5], np.uint64))
    actions = np.random.default_rng(0).integers(0, 4, 300)
    cut = 150
    for action in actions[:cut]:
        episodes.step(np.full(2, action))
    # From here on, all that is not finished generates 200 tokens more in the second episode.
    unfinished = np.isnan(episodes.simulation.requests["finished"][1])
    assert unfinished[:cut].sum() > 20
    episodes.simulation.requests["decode"][1][unfinished] += 200
    alike = finished_alike = 0
    for action in actions[cut:]:
        result = episodes.step(np.full(2, action))
        finished = episodes.simulation.requests["finished"]
        if np.array_equal(finished[0], finished[1], equal_nan=True):
            finished_alike += 1
            np.testing.assert_array_equal(result.observations[0], result.observations[1])
            assert result.rewards[0] == result.rewards[1]
        alike += int(np.array_equal(result.observations[0], result.observations[1]))
    assert alike == finished_alike
    assert 0 < finished_alike < 150


def test_the_documentation_names_every_number() -> None:
    text = (Path(__file__).parents[3] / "docs" / "router.md").read_text()
    named_in_tables = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    expected = {name.rsplit("/", 1)[-1] for name in observation_names(RouterConfig())}
    assert expected <= named_in_tables
