"""SAC's losses against numbers worked out row by row, and where their gradients go."""

import math

import numpy as np
import pytest
import torch

from rayrl.algorithms.sac import SACConfig
from tests.algorithms.offpolicy.transitions import BOX, DISCRETE, build, make_steps, report, transitions

ALPHA = 0.3


@pytest.fixture
def learner():
    return build(SACConfig().training(initial_alpha=ALPHA), BOX)


def minibatch(learner, sample):
    columns = learner.prepare(sample)
    return columns | learner.noise(1, len(sample))


def test_continuous_losses_by_hand(learner):
    sample = transitions(6, BOX, weights=np.arange(1.0, 7.0, dtype=np.float32) / 6)
    columns = minibatch(learner, sample)
    module, distribution = learner.policy, learner.policy.distribution
    critic_loss = policy_loss = alpha_loss = 0.0
    for i in range(6):
        row = slice(i, i + 1)
        obs, after = columns["obs"][row], columns["next_obs"][row]
        # The environment's actions in [-2, 2] are the policy's in [-1, 1].
        taken = torch.from_numpy(sample.columns["actions"][row]) / 2
        next_action, next_logp = distribution.reparameterized(
            module.policy({"obs": after}), columns["next_noise"][row]
        )
        worth = module.target_critics(after, (), next_action).min() - ALPHA * next_logp
        gone_on = 0.0 if i % 4 == 3 else 0.9
        target = (sample.columns["rewards"][i] + gone_on * worth).item()
        for value in module.critics(obs, (), taken).flatten().tolist():
            critic_loss += (i + 1) / 6 * 0.5 * (value - target) ** 2
        action, logp = distribution.reparameterized(module.policy({"obs": obs}), columns["noise"][row])
        policy_loss += (ALPHA * logp - module.critics(obs, (), action).min()).item()
        alpha_loss += -math.log(ALPHA) * (logp.item() - 2)  # the entropy aimed at is minus the actions' size
    total, statistics = learner.loss(columns)
    np.testing.assert_allclose(statistics[:3], [critic_loss, policy_loss, alpha_loss], rtol=1e-4)
    assert total.item() == pytest.approx(critic_loss + policy_loss + alpha_loss, rel=1e-4)


def test_discrete_losses_by_hand():
    learner = build(SACConfig().training(initial_alpha=ALPHA), DISCRETE)
    sample = transitions(6, DISCRETE)
    columns = learner.prepare(sample)
    module = learner.policy
    critic_loss = policy_loss = alpha_loss = 0.0
    for i in range(6):
        row = slice(i, i + 1)
        obs, after = columns["obs"][row], columns["next_obs"][row]
        logp = module.policy({"obs": after}).log_softmax(-1)[0]
        values = module.target_critics(after, ()).min(0).values[0]
        worth = sum((logp[a].exp() * (values[a] - ALPHA * logp[a])).item() for a in range(3))
        target = sample.columns["rewards"][i] + (0.0 if i % 4 == 3 else 0.9) * worth
        every = module.critics(obs, ())[:, 0]
        taken = sample.columns["actions"][i] - 1
        critic_loss += sum(0.5 * (every[k, taken].item() - target) ** 2 for k in range(2))
        logp = module.policy({"obs": obs}).log_softmax(-1)[0]
        best = every.min(0).values
        policy_loss += sum((logp[a].exp() * (ALPHA * logp[a] - best[a])).item() for a in range(3))
        entropy = -sum((logp[a].exp() * logp[a]).item() for a in range(3))
        alpha_loss += -math.log(ALPHA) * (0.98 * math.log(3) - entropy)
    _, statistics = learner.loss(columns)
    np.testing.assert_allclose(statistics[:3], [critic_loss, policy_loss, alpha_loss], rtol=1e-4)


@pytest.mark.parametrize("actions", [BOX, DISCRETE])
def test_each_loss_moves_its_own_parameters(actions):
    # With rates of 0 for two of three, the third alone moves.
    rates = ("actor_lr", "critic_lr", "alpha_lr")
    for moving in rates:
        config = SACConfig().training(**{rate: 0.1 * (rate == moving) for rate in rates}, tau=0.0)
        learner = build(config, actions)
        before = {name: value.copy() for name, value in learner.policy.get_state().items()}
        make_steps(learner, transitions(8, actions))
        moved = {
            name.split(".")[0]
            for name, value in learner.policy.get_state().items()
            if not np.array_equal(value, before[name])
        }
        expected = {"actor_lr": {"network"}, "critic_lr": {"critics"}, "alpha_lr": set()}
        assert moved == expected[moving]
        assert (learner.curr_log_alpha["default_policy"].item() != 0) == (moving == "alpha_lr")


def test_the_policys_loss_leaves_no_gradient_in_the_critics(learner):
    columns = minibatch(learner, transitions(6, BOX))
    module = learner.policy
    inputs = module.policy({"obs": columns["obs"]})
    actions, _ = module.distribution.reparameterized(inputs, columns["noise"])
    module.critics(columns["obs"], (), actions, frozen=True).sum().backward()
    assert all(not parameter.grad.any() for parameter in module.critics.parameters())
    assert any(parameter.grad.any() for parameter in module.network.parameters())


def test_the_temperature_rises_while_the_entropy_is_too_low():
    learner = build(SACConfig().training(alpha_lr=0.1, target_entropy=100.0), BOX)
    make_steps(learner, transitions(8, BOX))
    # Adam's first step is the rate itself.
    assert learner.curr_log_alpha["default_policy"].item() == pytest.approx(0.1, rel=1e-3)
    assert report(learner)["alpha"] == pytest.approx(math.exp(0.1), rel=1e-3)


def test_ratings_are_absolute_td_errors_of_the_rows():
    learner = build(SACConfig().training(actor_lr=0.0, critic_lr=0.0, tau=0.0), BOX)
    sample = transitions(8, BOX)
    ratings = make_steps(learner, sample, steps=2)
    assert ratings.row_ids.tolist() == list(range(8))
    assert (ratings.td_errors > 0).all()
    told = report(learner)
    assert told["td_error"] == pytest.approx(ratings.td_errors.mean(), rel=1e-5)
    assert told["gradient_steps"] == 2


def test_target_critics_move_by_tau_and_as_often_as_told():
    learner = build(SACConfig().training(tau=0.25, critic_lr=0.1, target_network_update_freq=10), BOX)
    start = learner.policy.target_critics.weights[0].clone()
    make_steps(learner, transitions(8, BOX), env_steps=9)
    assert torch.equal(learner.policy.target_critics.weights[0], start)
    make_steps(learner, transitions(8, BOX), env_steps=10)
    expected = start + 0.25 * (learner.policy.critics.weights[0] - start)
    torch.testing.assert_close(learner.policy.target_critics.weights[0], expected)


def test_rates_follow_their_schedules():
    learner = build(SACConfig().training(critic_lr=[[0, 0.1], [100, 0.0]], actor_lr=0.5), BOX)
    make_steps(learner, transitions(8, BOX), env_steps=50)
    assert [group["lr"] for group in learner._optimizer.param_groups] == [0.5, 0.05, 3e-4]
