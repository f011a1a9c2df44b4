"""PPO that starts from a policy: its reference, its temperature, and what comes before its first update."""

import logging

import numpy as np
import pytest

from rayrl.algorithms.ppo import PPOConfig
from rayrl.errors import TrainingError
from tests.algorithms.algorithms import held_ppo, metrics_of, next_batches, start, state_of, stateful_ppo
from tests.algorithms.learners import FirstRatios, assert_same

pytestmark = pytest.mark.usefixtures("ray_cluster")


def learner_results(result):
    return result["learners"]["default_policy"]


def test_the_reference_is_the_policy_that_training_starts_from(build):
    algorithm = build(stateful_ppo(kl_ref={"initial": 0.1, "schedule": "constant"}, lr=0.01))
    policy = start(algorithm)
    for _ in range(2):
        results = learner_results(algorithm.train())
    assert results["kl_ref"] > 0
    assert results["curr_kl_ref_coeff"] == 0.1
    state = state_of(algorithm)["learner_group"]["learner"]
    reference = state["training"]["anchor"]["reference"]["weights"]
    started = {name: x.numpy() for name, x in policy.network.state_dict().items() if "value" not in name}
    assert_same(reference, started)
    moved = state["rl_module"]["default_policy"]
    assert not np.array_equal(
        moved["network.policy_head.linears.0.weight"], reference["policy_head.linears.0.weight"]
    )
    assert moved["network.normalizer.count"] == 100 + 256


def test_workers_are_not_sent_the_reference(build):
    plain, held = build(stateful_ppo()), build(stateful_ppo(kl_ref={}))
    start(held)
    sent, with_reference = (a.weights["rl_module"]["default_policy"] for a in (plain, held))
    assert with_reference.keys() == sent.keys()
    assert sum(x.nbytes for x in with_reference.values()) == sum(x.nbytes for x in sent.values())
    assert held.weights.keys() == plain.weights.keys()


def test_samples_tell_their_temperature_and_ratios_start_at_1(build):
    config = held_ppo(kl_ref=None, lr=0.01, critic_warmup_updates=0, stabilization=None)
    config.env_runners(num_envs_per_env_runner=4).learners(learner_class=FirstRatios)
    algorithm = build(config)
    told = [algorithm.train()["temperature"]["current"] for _ in range(4)]
    (batch,) = next_batches(algorithm)
    assert np.unique(batch.columns["temperature"]).tolist() == [np.float32(algorithm.weights["temperature"])]
    assert told[0] == 1.2
    assert len(set(told)) == 4
    (ratios,) = (
        x.get() for x in algorithm.learner_group.foreach_learner(lambda learner: learner.first_ratios)
    )
    assert len(ratios) == 4 * 32
    np.testing.assert_allclose(ratios, 1.0, atol=1e-5)


def test_signals_that_nobody_tells_are_an_error_once_an_episode_has_ended(build):
    config = PPOConfig().environment("CartPole-v1").rl_module(model_config={"fcnet_hiddens": [8]})
    config.training(train_batch_size_per_learner=256, minibatch_size=256, num_epochs=1, temperature={})
    algorithm = build(config)
    with pytest.raises(TrainingError, match="nothing called queue or latency or balance") as raised:
        algorithm.train()
    assert raised.value.where == "temperature.signals"


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_statistics_are_fed_once_and_not_trained_on(build, workers, tmp_path):
    options = {"stabilization": {"steps": 300}, "normalize_rewards": True}
    algorithm, other = (build(stateful_ppo(workers, **options)) for _ in range(2))
    result = algorithm.train()
    assert result["num_env_steps_sampled_lifetime"] == 128
    assert result["stabilization_steps"] == 300
    assert learner_results(result)["num_module_steps_trained_lifetime"] == 128
    learner = state_of(algorithm)["learner_group"]["learner"]
    assert learner["rl_module"]["default_policy"]["network.normalizer.count"] == 428
    assert learner["training"]["reward_moments"][0] == 428
    assert learner["training"]["updates"] == 1
    # Nothing of the episodes that others began is left.
    assert result["env_runners"]["episode_len_max"] <= 128
    algorithm.save_to_path(tmp_path)
    expected = metrics_of(algorithm.train())
    assert expected["stabilization_steps"] == 300
    other.restore_from_path(tmp_path)
    assert_same(metrics_of(other.train()), expected)
    after = state_of(other)["learner_group"]["learner"]
    assert after["rl_module"]["default_policy"]["network.normalizer.count"] == 428 + 128


def test_a_demonstrator_may_feed_them(build):
    config = PPOConfig().environment("rayrl/Router-v0", env_config={"requests": 40})
    config.env_runners(num_envs_per_env_runner=4).rl_module(
        model_config={"fcnet_hiddens": [8], "normalize_observations": True}
    )
    config.training(
        train_batch_size_per_learner=128,
        minibatch_size=64,
        num_epochs=1,
        freeze_normalizer=True,
        stabilization={"steps": 160, "policy": "round_robin"},
        temperature={},
    )
    algorithm = build(config)
    for _ in range(2):
        result = algorithm.train()
    assert result["stabilization_steps"] == 160
    weights = algorithm.learner_group.get_weights()["default_policy"]
    assert weights["network.normalizer.count"] == 160
    # The router's own signals steer the temperature.
    told = result["temperature"]
    assert -1 < told["queue_pressure_ema"] < 10
    assert 0 < told["balance"] < 1


def test_training_ends_beyond_the_target(build, caplog, tmp_path):
    options = {"target_kl": 1e-5, "target_kl_action": "stop_training", "lr": 0.05}
    algorithm = build(stateful_ppo(**options))
    with caplog.at_level(logging.WARNING, logger="rayrl.algorithms.ppo"):
        result = learner_results(algorithm.train())
    assert result["gradient_steps"] == 4
    assert "target_kl is 1e-05" in algorithm.stop_reason
    assert "training ends at step 128" in caplog.text
    (warning,) = algorithm.warnings
    assert warning.startswith(
        "the policy moved further than target_kl from the one that collected in 1 update"
    )
    algorithm.save_to_path(tmp_path)
    other = build(stateful_ppo(**options))
    other.restore_from_path(tmp_path)
    assert other.stop_reason == algorithm.stop_reason
    assert other.warnings == algorithm.warnings
