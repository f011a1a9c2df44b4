from pathlib import Path
from typing import Any

import gymnasium
import pytest

import rayrl.envs  # noqa: F401  (registers the id)
from rayrl.envs.router.config import RouterConfig
from rayrl.errors import ConfigError


def test_the_experiment_file_of_the_design_is_understood() -> None:
    fields = {"replicas": 4, "arrivals": "poisson", "target_load": 0.85, "requests": 512, "trace": None}
    assert RouterConfig.parse(fields, where="file") == RouterConfig()
    assert RouterConfig().kv_cache.tokens >= 16_384


def test_it_survives_a_round_trip_through_json() -> None:
    config = RouterConfig.parse({"qps": 3.0, "speeds": [1, 1, 2, 4], "reward": {"mode": "delta"}}, where="")
    assert RouterConfig.model_validate_json(config.model_dump_json()) == config


def test_qps_alone_replaces_the_default_load() -> None:
    assert RouterConfig.parse({"qps": 3.0}, where="").target_load is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"replica": 4}, "replica: unknown key; did you mean 'replicas'?"),
        ({"reward": {"hybrid": {"clipp": 1}}}, "reward.hybrid.clipp: unknown key; did you mean 'clip'?"),
        ({"replicas": -1}, "replicas = -1: Input should be greater than or equal to 1"),
        ({"replicas": "four"}, "replicas = 'four': Input should be a valid integer"),
        ({"requests": 0}, "requests = 0:"),
        ({"arrivals": "uniform"}, "arrivals = 'uniform': Input should be 'poisson', 'gamma' or 'trace'"),
        ({"arrivals": "trace"}, "trace = None: arrivals = 'trace' needs the path of a trace"),
        ({"qps": float("nan")}, "qps = nan:"),
        ({"target_load": -0.5}, "target_load = -0.5:"),
        ({"qps": 3.0, "target_load": 0.5}, "target_load = 0.5: qps = 3.0 sets the rate already"),
        ({"target_load": None}, "target_load = None: synthetic arrivals need target_load or qps"),
        ({"speeds": [1, 2]}, "must name one speed for each of the 4 replicas"),
        ({"speeds": [1, 2, 0, 1]}, "speeds.2 = 0:"),
        ({"split": "test"}, "split = 'test':"),
        ({"batching": {"token_budget": 8}}, "batching.token_budget = 8: is less than max_sequences = 64"),
        ({"history_window": 1}, "history_window = 1:"),
        ({"kv_cache": {"blocks": 32}}, "= 9216 tokens exceed the KV cache of 512"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        gymnasium.make("rayrl/Router-v0", **fields)
    assert message in str(raised.value)
    assert str(raised.value).startswith("rayrl/Router-v0: ")
    with pytest.raises(ConfigError):
        gymnasium.make_vec("rayrl/Router-v0", num_envs=2, **fields)


def test_a_trace_brings_its_own_lengths_so_the_synthetic_ones_need_not_fit(tmp_path: Path) -> None:
    trace = tmp_path / "some.csv"
    trace.touch()
    fields = {"kv_cache": {"blocks": 32}, "trace": str(trace), "target_load": None}
    assert RouterConfig.parse(fields, where="").trace == trace
