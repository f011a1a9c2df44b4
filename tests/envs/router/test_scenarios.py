"""What the router's scenarios change, and what they leave as it is in training."""

import numpy as np
import pytest

from rayrl.envs.router.env import RouterVectorEnv
from rayrl.envs.router.observation import observation_names
from rayrl.envs.router.scenarios import scenarios
from rayrl.envs.scenarios import scenario_specs, scenario_variants
from rayrl.envs.spec import EnvSpec

NAMES = ["half_load", "double_load", "slow_replica", "lost_replica", "bursts"]


def specs(**config):
    env = EnvSpec.parse({"id": "rayrl/Router-v0", "config": config}, where="env")
    return env, scenario_specs(env, scenario_variants(env, dict.fromkeys(NAMES)))


def test_loads_are_those_of_training_times_a_factor():
    made = scenarios({"qps": 8.0, "target_load": None, "replicas": 2})
    assert made.kept == {"reference_qps": 8.0}
    assert made.named["half_load"] == [{"qps": 4.0, "target_load": None}]
    assert made.named["double_load"] == [{"qps": 16.0, "target_load": None}]
    assert made.named["bursts"] == [{"qps": 8.0, "target_load": None, "arrivals": "gamma", "burstiness": 4.0}]


def test_each_replica_is_slowed_and_lost_in_turn_under_the_same_load():
    made = scenarios({"qps": 8.0, "target_load": None, "replicas": 2, "speeds": [1.0, 2.0]})
    assert [variant["speeds"] for variant in made.named["slow_replica"]] == [[0.4, 2.0], [1.0, 0.8]]
    assert [variant["speeds"] for variant in made.named["lost_replica"]] == [[0.001, 2.0], [1.0, 0.002]]
    assert {variant["qps"] for variant in made.named["slow_replica"]} == {8.0}


def test_a_trace_keeps_its_gaps_and_a_single_replica_cannot_be_lost(tmp_path):
    trace = tmp_path / "trace.csv"
    rows = [f"{second},100,20" for second in range(200)]
    trace.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n" + "\n".join(rows))
    made = scenarios({"trace": str(trace), "target_load": None, "requests": 16, "replicas": 1})
    # A request a second in the trace.
    assert made.named["double_load"][0]["qps"] == pytest.approx(2.0)
    assert sorted(made.named) == ["double_load", "half_load", "slow_replica"]


def test_observations_count_in_the_requests_per_second_of_training():
    env, made = specs(requests=128, qps=8.0, target_load=None)
    names = list(observation_names(RouterVectorEnv(1, **env.config).episodes.config))
    place = next(i for i, name in enumerate(names) if "qps" in name)

    def seen(spec):
        router = RouterVectorEnv(8, **spec.config)
        observations = [router.reset(seed=3)[0]]
        for step in range(100):
            observations.append(router.step(np.full(8, step % 4))[0])
        return float(np.mean(np.stack(observations)[40:, :, place]))

    trained = seen(env)
    # Arrivals in the last second, over the training's rate: about 1, 2 and a half.
    assert seen(made["double_load"][0]) == pytest.approx(2 * trained, rel=0.2)
    assert seen(made["half_load"][0]) == pytest.approx(0.5 * trained, rel=0.2)


def test_a_lost_replica_gives_nothing_back():
    _, made = specs(requests=64)
    router = RouterVectorEnv(2, **made["lost_replica"][1].config)
    router.reset(seed=0)
    for _ in range(32):
        router.step(np.array([1, 0]))
    finished = ~np.isnan(router.episodes.simulation.requests["finished"])
    assert not finished[0].any()
    assert finished[1].any()
