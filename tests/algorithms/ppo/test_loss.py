"""PPO's loss on a minibatch worked out by hand."""

import math

import numpy as np
import pytest
import torch

from tests.algorithms.learners import build, ppo_config, trajectories, update

LOG_HALF = math.log(0.5)


@pytest.fixture
def minibatch():
    return {
        "obs": torch.randn(4, 3),
        "actions": torch.tensor([0, 1, 1, 0]),
        "action_logp": torch.tensor([LOG_HALF, LOG_HALF, LOG_HALF, math.log(0.75)]),
        "action_dist_inputs": torch.zeros(4, 2),
        "advantages": torch.tensor([1.0, 2.0, -2.0, 3.0]),
        "value_targets": torch.tensor([1.0, 2.0, 4.0, 2.0]),
    }


def loss(minibatch, **options):
    """The loss of a policy with π(0) = 0.75 and V = 2 everywhere, and its statistics by name."""
    learner = build(ppo_config(vf_loss_coeff=0.5, **options))
    network = learner.policy.network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.policy_head.linears[-1].bias[0] = math.log(3)
        network.value_head.linears[-1].bias[0] = 2.0
    learner.before_gradient_based_update(timesteps={})
    total, statistics = learner.loss(minibatch)
    return total.item(), dict(zip(learner.statistics, statistics.tolist(), strict=True))


def test_clipped_surrogate_value_and_entropy(minibatch):
    # ρ = π/π_old: 0.75/0.5 = 1.5, 0.25/0.5 = 0.5, 0.5 and 0.75/0.75 = 1;  ε = 0.2
    # min(ρ A, clip(ρ) A): min(1.5, 1.2) + min(1.0, 1.6) + min(-1.0, -1.6) + min(3, 3) = 1.2 + 1 - 1.6 + 3
    # (V - G)²: 1 + 0 + 4 + 0
    # H = -(0.75 ln 0.75 + 0.25 ln 0.25) = 0.5623351 in each of 4 rows
    total, statistics = loss(minibatch, entropy_coeff=0.1)
    assert statistics["policy_loss"] == pytest.approx(-3.6, rel=1e-5)
    assert statistics["vf_loss"] == pytest.approx(5)
    assert statistics["entropy"] == pytest.approx(4 * 0.5623351)
    assert statistics["clip_fraction"] == 3
    assert total == statistics["total_loss"] == pytest.approx(-3.6 + 0.5 * 5 - 0.1 * 4 * 0.5623351)


def test_kl_is_reported_from_samples_where_it_is_not_penalized(minibatch):
    # (ρ - 1) - ln ρ: 0.5 - ln 1.5 = 0.0945349, twice -0.5 + ln 2 = 0.1931472, and 0
    _, statistics = loss(minibatch, use_kl_loss=False)
    assert statistics["mean_kl_loss"] == pytest.approx(0.0945349 + 2 * 0.1931472, rel=1e-4)


def test_the_kl_penalty_is_exact(minibatch):
    # KL(½, ½ ‖ ¾, ¼) = ½ ln(2/3) + ½ ln 2 = ½ ln(4/3) = 0.1438410 in each row
    total, statistics = loss(minibatch, use_kl_loss=True, kl_coeff=0.3)
    assert statistics["mean_kl_loss"] == pytest.approx(4 * 0.1438410, rel=1e-5)
    assert total == pytest.approx(-3.6 + 0.5 * 5 + 0.3 * 4 * 0.1438410)


def test_the_squared_value_error_is_clipped_as_rllib_does(minibatch):
    # min((V - G)², 2): 1 + 0 + 2 + 0
    _, statistics = loss(minibatch, vf_clip_param=2.0)
    assert statistics["vf_loss"] == pytest.approx(3)


def test_an_empty_minibatch_has_no_loss(minibatch):
    total, statistics = loss({name: column[:0] for name, column in minibatch.items()})
    assert total == 0
    assert set(statistics.values()) == {0.0}


def test_reported_losses_are_means_over_the_rows():
    learner = build(ppo_config(num_epochs=1, minibatch_size=None))
    columns = learner.prepare(trajectories([10, 14]))
    sums = learner.loss(columns)[1] / 24
    results = learner.run_epochs(columns, 1, None)
    assert [results[name] for name in learner.statistics] == pytest.approx(sums.tolist())


def test_advantages_are_standardized_over_the_whole_batch():
    learner = build(ppo_config())
    batch = trajectories([20, 44])
    advantages = learner.prepare(batch)["advantages"].numpy()
    assert advantages.mean() == pytest.approx(0, abs=1e-6)
    assert advantages.std() == pytest.approx(1, rel=1e-5)


def test_explained_variance():
    # V = 0 before training where the value's output layer is 0: 1 - Var(G - 0) / Var(G) = 0.
    learner = build(ppo_config(num_epochs=1))
    with torch.no_grad():
        for parameter in learner.policy.network.value_head.parameters():
            parameter.zero_()
    assert update(learner, trajectories([64]))["vf_explained_var"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("kl", "coefficient"), [(0.021, 0.3), (0.02, 0.2), (0.005, 0.2), (0.0049, 0.1), (float("nan"), 0.2)]
)
def test_the_kl_coefficient_adapts(kl, coefficient):
    # The target is 0.01: above twice that × 1.5, below half of it × 0.5, from bound to bound unchanged.
    learner = build(ppo_config(use_kl_loss=True, kl_coeff=0.2, kl_target=0.01))
    learner._adapt_kl_coeff(kl)
    assert learner.get_training_state()["kl_coeff"] == pytest.approx(coefficient)


def test_the_kl_coefficient_stays_where_there_is_no_penalty():
    learner = build(ppo_config(use_kl_loss=False, kl_coeff=0.2, num_epochs=1, lr=0.1))
    assert update(learner, trajectories([64]))["curr_kl_coeff"] == 0.2


def test_the_entropy_coefficient_follows_its_schedule():
    learner = build(ppo_config(num_epochs=1, entropy_coeff=[[0, 0.1], [100, 0.0]]))
    assert update(learner, trajectories([64]), env_steps=50)["curr_entropy_coeff"] == pytest.approx(0.05)


def test_rewards_are_scaled_in_the_learner_alone():
    learner = build(ppo_config(normalize_rewards=True, num_epochs=1))
    batch = trajectories([64])
    raw = batch.columns["rewards"].copy()
    update(learner, batch)
    np.testing.assert_array_equal(batch.columns["rewards"], raw)
    assert learner.get_training_state()["reward_moments"][0] == 64


def test_the_normalizer_takes_a_batch_in_after_learning_from_it():
    learner = build(ppo_config({"normalize_observations": True}, num_epochs=1))
    batch = trajectories([64])
    seen = []
    learner.run_epochs = lambda columns, *args, run=learner.run_epochs: (
        seen.append(float(learner.policy.normalizer.count)),
        run(columns, *args),
    )[1]
    update(learner, batch)
    assert seen == [0]
    assert float(learner.policy.normalizer.count) == 64
    np.testing.assert_allclose(
        learner.policy.normalizer.mean.numpy(), batch.columns["obs"].mean(0), rtol=1e-5
    )
