"""DQN's loss against numbers worked out row by row, with masks, and its schedules."""

from itertools import islice

import gymnasium as gym
import numpy as np
import pytest
import torch

from rayrl.algorithms.dqn import DQNConfig
from rayrl.algorithms.offpolicy.data import ReplayData
from rayrl.algorithms.offpolicy.pace import Pace
from tests.algorithms.offpolicy import transitions as given
from tests.algorithms.offpolicy.transitions import DISCRETE, Here, build, make_steps, report, transitions


def values_of(network, flat):
    return network.action_values_of(flat, ())


def shaken(learner):
    """The learner with a target network that is not the learned one's equal."""
    with torch.no_grad():
        for parameter in learner.policy.target.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return learner


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("kind", ["huber", "mse"])
def test_the_loss_by_hand(double, kind):
    learner = shaken(build(DQNConfig().training(double_q=double, td_error_loss_fn=kind), DISCRETE))
    weights = np.arange(1.0, 7.0, dtype=np.float32) / 6
    rewards = np.array([3.0, -3.0, 0.1, 0.2, 5.0, 0.0], np.float32)
    sample = transitions(6, DISCRETE, weights=weights, rewards=rewards)
    module, expected = learner.policy, 0.0
    for i in range(6):
        obs = torch.from_numpy(sample.columns["obs"][i : i + 1])
        after = torch.from_numpy(sample.columns["next_obs"][i : i + 1])
        slow, chooser = values_of(module.target, after)[0], values_of(module.network, after)[0]
        best = int((chooser if double else slow).argmax())
        target = rewards[i] + (0.0 if i % 4 == 3 else 0.9) * slow[best].item()
        error = values_of(module.network, obs)[0, sample.columns["actions"][i] - 1].item() - target
        quadratic = kind == "mse" or abs(error) <= 1
        expected += weights[i] * (0.5 * error**2 if quadratic else abs(error) - 0.5)
    total, _ = learner.loss(learner.prepare(sample))
    assert total.item() == pytest.approx(expected, rel=1e-4)


def test_forbidden_actions_are_worth_nothing_afterwards(monkeypatch):
    space = gym.spaces.Dict(
        {"action_mask": gym.spaces.Box(0, 1, (3,), np.int8), "x": gym.spaces.Box(-9, 9, (3,), np.float32)}
    )
    monkeypatch.setattr(given, "OBSERVATION", space)
    learner = shaken(build(DQNConfig().training(double_q=False), DISCRETE))
    sample = transitions(5, DISCRETE)
    columns = sample.columns
    columns["obs/x"], columns["next_obs/x"] = columns.pop("obs"), columns.pop("next_obs")
    columns["obs/action_mask"] = np.ones((5, 3), np.int8)
    columns["next_obs/action_mask"] = np.array([[0, 0, 1]] * 5, np.int8)
    after = torch.from_numpy(columns["next_obs/x"])
    gone_on = np.where(columns["terminated"], 0.0, 0.9)
    target = columns["rewards"] + gone_on * values_of(learner.policy.target, after)[:, 2].detach().numpy()
    _, statistics = learner.loss(learner.prepare(sample))
    assert statistics[2].item() == pytest.approx(target.sum(), rel=1e-4)


def test_exploration_follows_its_schedule_and_travels_with_the_weights():
    learner = build(DQNConfig().training(epsilon=[[0, 1.0], [100, 0.1]]), DISCRETE)
    assert learner.policy.network.epsilon == 1.0
    make_steps(learner, transitions(8, DISCRETE), env_steps=50)
    state = learner.policy.get_state(inference_only=True)
    assert state["network.epsilon"] == pytest.approx(0.55)
    assert report(learner)["epsilon"] == pytest.approx(0.55)


def test_the_target_network_is_replaced_every_so_many_steps():
    learner = build(DQNConfig().training(target_network_update_freq=100, lr=0.1), DISCRETE)
    start = [parameter.clone() for parameter in learner.policy.target.parameters()]
    make_steps(learner, transitions(8, DISCRETE), env_steps=99)
    assert all(map(torch.equal, learner.policy.target.parameters(), start))
    make_steps(learner, transitions(8, DISCRETE), steps=2, env_steps=130)
    # By the first of both gradient steps; the next one is due at 200.
    assert learner._targets_moved_at == 130
    assert not any(map(torch.equal, learner.policy.target.parameters(), start))
    assert not any(map(torch.equal, learner.policy.target.parameters(), learner.policy.network.parameters()))


@pytest.mark.parametrize("width", [1, 7, 64, 1000])
def test_targets_move_with_the_same_gradient_steps_however_long_rounds_are(width):
    learner = build(DQNConfig().training(target_network_update_freq=50), DISCRETE)
    moved, counted = [], []
    learner.move_targets = lambda: moved.append(len(counted))
    step = learner._step
    learner._step = lambda *given: counted.append(1) or step(*given)
    pace = Pace(0.3, 40, None)
    for env_steps in [*range(width, 301, width), 300]:
        due = pace.next_round(env_steps)
        if len(due):
            sample = transitions(len(due), DISCRETE)
            learner.make_steps(ReplayData(draws=[[Here(sample)]], due=due), {})
    assert len(counted) == 78
    # Step k is due after 40 + k / 0.3 environment steps: the 3rd after 50, the 18th after 100, ...
    assert moved == [3, 18, 33, 48, 63, 78]


def test_exploration_is_as_scheduled_at_each_vector_step():
    config = DQNConfig().env_runners(num_env_runners=2, num_envs_per_env_runner=5)
    config.training(epsilon=[[0, 1.0], [100, 0.0]])
    # Two workers of five sub-environments take ten steps at once.
    assert list(islice(config.random_shares(30), 4)) == pytest.approx([0.7, 0.6, 0.5, 0.4])
