"""What holds PPO: terms of the loss worked out by hand, early stops, the critic's warm-up, statistics."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch

from rayrl.algorithms.device_columns import observed_in
from rayrl.algorithms.experience_data import ExperienceData
from rayrl.algorithms.ppo.reference import REFERENCE_INPUTS
from rayrl.errors import ConfigError, TrainingError
from rayrl.models.distributions import action_distribution
from tests.algorithms.learners import assert_same, build, part, ppo_config, trajectories, update

LOG_HALF = math.log(0.5)
LOG_3 = math.log(3)
NORMALIZED = {"normalize_observations": True}


def learner_of(model_config=None, action_space=None, **options):
    config = ppo_config(model_config, **options)
    config.validate()
    return build(config, *([] if action_space is None else [action_space]))


def held(learner):
    """The learner, started from its own policy."""
    state = {name: tensor.numpy() for name, tensor in learner.policy.network.state_dict().items()}
    learner.start_from(state, where="test")
    return learner


def constant_policy(learner, log_odds):
    """Makes π(0) / π(1) the same everywhere, and V = 0."""
    with torch.no_grad():
        for parameter in learner.policy.network.parameters():
            parameter.zero_()
        learner.policy.network.policy_head.linears[-1].bias[0] = log_odds


def loss(learner, minibatch):
    learner.before_gradient_based_update(timesteps={})
    total, statistics = learner.loss(minibatch)
    return total, dict(zip(learner.statistics, statistics.tolist(), strict=True))


@pytest.fixture
def minibatch():
    """Two rows of a uniform policy without advantage, so that only what is added counts."""
    return {
        "obs": torch.zeros(2, 3),
        "actions": torch.tensor([0, 1]),
        "action_logp": torch.full((2,), LOG_HALF),
        "action_dist_inputs": torch.zeros(2, 2),
        "advantages": torch.zeros(2),
        "value_targets": torch.zeros(2),
        REFERENCE_INPUTS: torch.zeros(2, 2),
    }


# π = (¾, ¼), π_ref = (½, ½); the actions 0 and 1 were drawn with ½ each, so they count with 1.5 and 0.5.
# exact: ¾ ln 1.5 + ¼ ln 0.5 in each row.  k2: d² / 2.  k3: (½ / ¾ - 1 + ln 1.5, 2 - 1 + ln 0.5)
EXACT = 0.75 * math.log(1.5) + 0.25 * LOG_HALF


@pytest.mark.parametrize(
    ("estimator", "value"),
    [
        ("exact", 2 * EXACT),
        ("k1", 1.5 * math.log(1.5) + 0.5 * LOG_HALF),
        ("k2", 0.5 * (1.5 * math.log(1.5) ** 2 + 0.5 * LOG_HALF**2)),
        ("k3", 1.5 * (2 / 3 - 1 + math.log(1.5)) + 0.5 * (1 + LOG_HALF)),
    ],
)
def test_the_reference_in_the_loss(minibatch, estimator, value):
    learner = held(learner_of(kl_ref={"initial": 0.4, "estimator": estimator}, use_kl_loss=False))
    constant_policy(learner, LOG_3)
    total, statistics = loss(learner, minibatch)
    assert total.item() == pytest.approx(0.4 * value, rel=1e-5)
    assert statistics["kl_ref"] == pytest.approx(2 * EXACT, rel=1e-5)


def test_a_coefficient_of_zero_adds_nothing_and_still_tells(minibatch):
    learner = held(learner_of(kl_ref={"initial": 0.0}))
    constant_policy(learner, LOG_3)
    total, statistics = loss(learner, minibatch)
    assert total.item() == 0
    assert statistics["kl_ref"] == pytest.approx(2 * EXACT, rel=1e-5)


def test_the_reference_in_the_reward():
    # π is the reference itself at first: nothing is taken. Then KL(¾, ¼ ‖ ½, ½) of each step is, times β.
    options = {"kl_ref": {"initial": 0.4, "added_to": "reward"}, "gamma": 0.0, "lambda_": 0.0}
    learner = learner_of(**options)
    constant_policy(learner, 0.0)
    held(learner)
    batch = trajectories([5, 7])
    learner.before_gradient_based_update(timesteps={})
    targets = learner.prepare(batch)["value_targets"].numpy()
    np.testing.assert_allclose(targets, batch.columns["rewards"], atol=1e-6)
    moved = batch.with_columns(action_dist_inputs=np.tile(np.float32([LOG_3, 0]), (12, 1)))
    targets = learner.prepare(moved)["value_targets"].numpy()
    np.testing.assert_allclose(targets, batch.columns["rewards"] - 0.4 * EXACT, atol=1e-6)


def test_the_reference_in_the_reward_by_its_samples():
    # d = logp(a) - ln ½ of the action taken
    options = {"kl_ref": {"initial": 1.0, "added_to": "reward", "estimator": "k1"}, "gamma": 0.0}
    learner = learner_of(**options)
    constant_policy(learner, 0.0)
    held(learner)
    batch = trajectories([12]).with_columns(action_dist_inputs=np.tile(np.float32([LOG_3, 0]), (12, 1)))
    learner.before_gradient_based_update(timesteps={})
    targets = learner.prepare(batch)["value_targets"].numpy()
    d = np.where(batch.columns["actions"] == 0, math.log(1.5), LOG_HALF)
    np.testing.assert_allclose(targets, batch.columns["rewards"] - d, atol=1e-6)


def test_without_a_policy_to_start_from_the_reference_is_refused():
    with pytest.raises(TrainingError, match="kl_ref: there is no policy to hold to") as raised:
        update(learner_of(kl_ref={}), trajectories([8]))
    assert "with_pretrain" in str(raised.value)


def test_the_reference_stays_while_the_policy_moves():
    learner = held(learner_of(NORMALIZED, kl_ref={"initial": 0.1}, lr=0.05))
    batch = trajectories([64])
    observed = observed_in(batch, learner._device)
    before = learner._anchor.reference.inputs(observed, batch)
    start = learner.policy.policy(observed.by_row).detach()
    torch.testing.assert_close(before, start)
    results = update(learner, trajectories([64]))
    assert results["kl_ref"] > 0
    assert float(learner.policy.normalizer.count) == 64
    assert "normalizer.count" in learner._anchor.reference.get_state()["weights"]
    after = learner._anchor.reference.inputs(observed, batch)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert not torch.allclose(learner.policy.policy(observed.by_row), start)


def test_the_reference_holds_the_policy():
    free, tight = (
        [update(learner, trajectories([64], seed))["kl_ref"] for seed in range(4)][-1]
        for learner in (
            held(learner_of(kl_ref={"initial": beta, "schedule": "constant"}, lr=0.01))
            for beta in (0.0, 10.0)
        )
    )
    assert tight < free / 3


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Discrete(3),
        gym.spaces.MultiDiscrete([2, 3]),
        gym.spaces.MultiBinary(2),
        gym.spaces.Box(-1, 1, (2,), np.float32),
    ],
    ids=str,
)
def test_every_kind_of_action_can_be_held(space):
    learner = held(learner_of(action_space=space, kl_ref={"initial": 0.1}, lr=0.05))
    distribution = learner.policy.distribution
    batch, rng = trajectories([64]), np.random.default_rng(0)
    inputs = np.zeros((64, distribution.input_size), np.float32)
    actions = distribution.sample(inputs, distribution.noise(rng, (64,)))
    logp = distribution.logp(torch.from_numpy(inputs), torch.from_numpy(actions)).numpy()
    batch = batch.with_columns(actions=actions, action_dist_inputs=inputs, action_logp=logp)
    results = update(learner, batch)
    assert 0 < results["kl_ref"] < 10


def test_the_penalty_of_collecting_can_have_a_fixed_weight():
    learner = learner_of(use_kl_loss=True, kl_coeff=0.2, kl_target=None, lr=0.1)
    assert update(learner, trajectories([64]))["curr_kl_coeff"] == 0.2
    assert learner.get_training_state()["kl_coeff"] == 0.2


def test_entropy_at_the_floor_adds_nothing_and_below_it_the_gap(minibatch):
    # H = -(0.75 ln 0.75 + 0.25 ln 0.25) = 0.5623351 in both rows
    del minibatch[REFERENCE_INPUTS]
    for minimum, gap in ((0.5, 0.0), (0.65, 0.65 - 0.5623351)):
        learner = learner_of(entropy_min=minimum, entropy_min_coeff=3.0)
        constant_policy(learner, LOG_3)
        total, _ = loss(learner, minibatch)
        assert total.item() == pytest.approx(3.0 * 2 * gap, rel=1e-4, abs=1e-7)


def test_the_floors_gradient_is_that_of_finite_differences(minibatch):
    # One row below the floor, one above it, their mean below: the gradient is of the mean.
    del minibatch[REFERENCE_INPUTS]
    minibatch["obs"] = torch.tensor([[1.0, 0, 0], [0, 0, 0]])
    learner = learner_of({"fcnet_hiddens": []}, entropy_min=0.65, entropy_min_coeff=3.0)
    constant_policy(learner, 0.3)
    weight = learner.policy.network.policy_head.linears[-1].weight
    with torch.no_grad():
        weight[0, 0] = 2.0

    def floor():
        return loss(learner, minibatch)[0]

    total = floor()
    assert total.item() > 0
    (gradient,) = torch.autograd.grad(total, weight)
    h = 0.02
    with torch.no_grad():
        weight[0, 0] += h
        above = floor().item()
        weight[0, 0] -= 2 * h
        below = floor().item()
    assert gradient[0, 0].item() == pytest.approx((above - below) / (2 * h), rel=1e-2)
    assert gradient[0, 0].item() > 0.1


@pytest.mark.parametrize(("action", "epochs"), [("stop_epochs", 1), ("warn", 5), ("stop_training", 1)])
def test_epochs_end_beyond_the_target(action, epochs):
    options = {"num_epochs": 5, "minibatch_size": 16, "lr": 0.1}
    results = update(learner_of(target_kl=1e-4, target_kl_action=action, **options), trajectories([64]))
    assert results["gradient_steps"] == 4 * epochs
    assert results["beyond_target_kl"] == 1
    within = update(learner_of(target_kl=100.0, target_kl_action=action, **options), trajectories([64]))
    assert within["gradient_steps"] == 20
    assert within["beyond_target_kl"] == 0


@pytest.mark.parametrize("shared", [False, True])
def test_the_critic_warms_up_alone(shared):
    learner = learner_of(
        {"vf_share_layers": shared, **NORMALIZED},
        critic_warmup_updates=2,
        num_epochs=2,
        entropy_coeff=0.1,
        lr=0.01,
    )
    network = learner.policy.network
    actor = {name: x for name, x in network.named_parameters() if not name.startswith("value_")}
    critic = {name: x for name, x in network.named_parameters() if name.startswith("value_")}
    assert actor.keys() | critic.keys() == dict(network.named_parameters()).keys()
    start = {name: x.detach().clone() for name, x in network.named_parameters()}
    for seed in range(2):
        results = update(learner, trajectories([64], seed))
        assert results["gradient_norm"] > 0
        for name, parameter in actor.items():
            assert torch.equal(parameter, start[name]), name
            assert parameter not in learner._optimizer.state, name
        assert network.normalizer.count == 0
        assert all(not torch.equal(parameter, start[name]) for name, parameter in critic.items())
    update(learner, trajectories([64], 2))
    assert network.normalizer.count == 64
    assert any(not torch.equal(parameter, start[name]) for name, parameter in actor.items())
    assert all(learner._optimizer.state[parameter]["step"] == 8 for parameter in actor.values())


def test_a_warm_up_is_gone_into_and_left_by_restoring():
    warming, later = (learner_of(critic_warmup_updates=1, lr=0.01) for _ in range(2))
    state = warming.get_state()
    update(later, trajectories([64]))
    after = later.get_state()
    warming.set_state(after)
    results = [update(learner, trajectories([64], 1)) for learner in (warming, later)]
    assert_same(*({k: v for k, v in r.items() if "second" not in k} for r in results))
    later.set_state(state)
    before = later.policy.network.policy_head.linears[-1].weight.detach().clone()
    update(later, trajectories([64]))
    assert torch.equal(later.policy.network.policy_head.linears[-1].weight, before)


def test_ratios_start_at_one_at_the_temperature_of_each_row():
    space = gym.spaces.Discrete(2)
    learner, distribution = learner_of(lr=0.0, num_epochs=1), action_distribution(space)
    batch = trajectories([64])
    with torch.no_grad():
        inputs = learner.policy.policy(observed_in(batch, learner._device).by_row)
        temperature = torch.linspace(0.5, 4.0, 64)
        tempered = distribution.tempered(inputs, temperature)
        logp = distribution.logp(tempered, torch.from_numpy(batch.columns["actions"]))
    batch = batch.with_columns(
        temperature=temperature.numpy(), action_logp=logp.numpy(), action_dist_inputs=inputs.numpy()
    )
    results = update(learner, batch)
    assert results["clip_fraction"] == 0
    assert results["mean_kl_loss"] == pytest.approx(0, abs=1e-6)
    # Entropy is the policy's own, not that of what was sampled from.
    assert results["entropy"] == pytest.approx(distribution.entropy(inputs).mean().item(), rel=1e-5)


def test_statistics_are_fed_without_learning():
    learner = learner_of(NORMALIZED, normalize_rewards=True)
    before = learner.get_state()
    learner.observe(training_data=ExperienceData(parts=[part(trajectories([64]))]))
    after = learner.get_state()
    weights, moved = (state["rl_module"]["default_policy"] for state in (before, after))
    changed = {name for name in weights if not np.array_equal(weights[name], moved[name])}
    assert changed == {"network.normalizer.count", "network.normalizer.mean", "network.normalizer.m2"}
    assert after["training"]["reward_moments"][0] == 64
    assert after["training"]["updates"] == 0
    assert_same(before["optimizer"], after["optimizer"])


def test_a_frozen_normalizer_stays_and_must_have_seen_something():
    learner = learner_of(NORMALIZED, freeze_normalizer=True)
    with pytest.raises(TrainingError, match="freeze_normalizer: the normalizer is frozen before"):
        update(learner, trajectories([64]))
    learner.observe(training_data=ExperienceData(parts=[part(trajectories([64]))]))
    update(learner, trajectories([64], 1))
    assert float(learner.policy.normalizer.count) == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl_ref": {"inital": 0.3}}, "kl_ref.inital: unknown key; did you mean 'initial'?"),
        ({"kl_ref": 0.3}, "kl_ref = 0.3"),
        ({"kl_ref": {"schedule": "adaptive"}}, "schedule: adaptive and a target go together"),
        ({"kl_ref": {"initial": -1}}, "kl_ref.initial = -1"),
        ({"target_kl": 0}, "target_kl = 0"),
        ({"target_kl_action": "stop"}, "target_kl_action = 'stop'"),
        ({"critic_warmup_updates": -1}, "critic_warmup_updates = -1"),
        ({"entropy_min": "much"}, "entropy_min = 'much'"),
        ({"stabilization": {"policy": "randm"}}, "there is no demonstrator 'randm'"),
        ({"temperature": {"base": 9}}, "base = 9 is not between minimum and maximum"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigError) as raised:
        ppo_config(**options).validate()
    assert message in str(raised.value)
