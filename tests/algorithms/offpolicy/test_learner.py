"""What learners from replay share: minibatches, the normalizer, state, and N that do what one does."""

import numpy as np
import pytest
import ray
import torch

from rayrl.algorithms.actors import make_steps as make_group_steps
from rayrl.algorithms.actors import report_steps
from rayrl.algorithms.dqn import DQNConfig
from rayrl.algorithms.offpolicy.data import ReplayData
from rayrl.algorithms.sac import SACConfig
from rayrl.errors import TrainingError
from tests.algorithms.learners import assert_same
from tests.algorithms.offpolicy.transitions import (
    BOX,
    DISCRETE,
    OBSERVATION,
    Here,
    build,
    data,
    make_steps,
    report,
    transitions,
)

NORMALIZED = {"fcnet_hiddens": [8], "normalize_observations": True}


def some(sample, rows):
    return sample.take(np.asarray(rows))


def test_minibatches_are_the_draws_parts_in_turn():
    online, offline = transitions(6, BOX, seed=1), transitions(4, BOX, seed=2)
    offline = type(offline)(offline.columns, offline.row_ids + 100, offline.shards, None)
    joined = data(online, offline, steps=2).fetch()
    assert joined.row_ids.tolist() == [0, 1, 2, 100, 101, 3, 4, 5, 102, 103]
    wanted = np.concatenate([online.columns["rewards"], offline.columns["rewards"]])
    assert joined.columns["rewards"].tolist() == wanted[[0, 1, 2, 6, 7, 3, 4, 5, 8, 9]].tolist()
    assert joined.weights is None


def test_several_steps_are_what_single_ones_would_be():
    config = DQNConfig().training(target_network_update_freq=0, tau=0.1)
    together, apart = build(config.copy(), DISCRETE), build(config.copy(), DISCRETE)
    sample = transitions(12, DISCRETE)
    make_steps(together, sample, steps=3)
    for first in (0, 4, 8):
        make_steps(apart, some(sample, range(first, first + 4)))
    assert_same(together.policy.get_state(), apart.policy.get_state())


@pytest.mark.parametrize("config", [SACConfig, DQNConfig])
def test_the_normalizer_takes_in_what_is_learned_from(config):
    learner = build(config().rl_module(model_config=NORMALIZED), DISCRETE)
    first, second = transitions(8, DISCRETE, seed=1), transitions(8, DISCRETE, seed=2)
    make_steps(learner, first, steps=2)
    make_steps(learner, second)
    seen = np.concatenate([first.columns["obs"], second.columns["obs"]])
    assert learner.policy.normalizer.count == 16
    np.testing.assert_allclose(learner.policy.normalizer.mean, seen.mean(0), atol=1e-6)


def test_a_restored_learner_goes_on_bit_by_bit():
    config = SACConfig().rl_module(model_config=NORMALIZED)
    one, other = build(config.copy(), BOX), build(config.copy(), BOX)
    make_steps(one, transitions(8, BOX), steps=2, env_steps=40)
    other.set_state(one.get_state())
    for learner in (one, other):
        make_steps(learner, transitions(8, BOX, seed=3), steps=2, env_steps=80)
    assert_same(other.policy.get_state(), one.policy.get_state())
    assert_same(other.get_training_state(), one.get_training_state())
    assert one.get_training_state()["updates"] == 2


def test_a_report_is_of_the_steps_since_the_last_one():
    learner = build(SACConfig(), BOX)
    make_steps(learner, transitions(8, BOX), steps=2)
    make_steps(learner, transitions(8, BOX), steps=1)
    told = report(learner)
    assert (told["gradient_steps"], told["gradient_steps_skipped"]) == (3, 0)
    make_steps(learner, transitions(8, BOX), steps=1)
    assert report(learner)["gradient_steps"] == 1


def test_other_data_are_refused():
    learner = build(SACConfig(), BOX)
    with pytest.raises(TrainingError, match="given to a learner from replay"):
        learner.make_steps(object(), {})
    with pytest.raises(TrainingError, match="no draw"):
        ReplayData().validate()
    with pytest.raises(TrainingError, match="1 draws for 2 learners"):
        data(transitions(4, BOX)).shard(2)


@pytest.mark.parametrize(("config", "actions"), [(SACConfig, BOX), (DQNConfig, DISCRETE)])
def test_two_learners_do_what_one_does(ray_cluster, config, actions):
    torch.manual_seed(0)
    space = {"default_policy": (OBSERVATION, actions)}
    sample = transitions(48, actions, weights=np.linspace(0.1, 3, 48, dtype=np.float32))
    # Importance weights are scaled by the largest of all, which the second learner has.
    # Three minibatches of 16 rows, of which each of two learners has 8.
    halves = [some(sample, [16 * m + i for m in range(3) for i in range(8 * k, 8 * k + 8)]) for k in range(2)]

    def state_after(learners, draws):
        made = (
            config()
            .rl_module(model_config=NORMALIZED)
            .learners(num_learners=learners, num_cpus_per_learner=0.2 if learners else "auto")
            .training(grad_clip=None)
        )
        group = made.build_learner_group(env=None, spaces=space)
        if learners:
            group.set_state(start)
        else:
            start.update(group.get_state())
        ratings = make_group_steps(group, ReplayData(draws=draws, due=np.zeros(3, np.int64)), {}, 60.0)
        told = report_steps(group, 60.0)
        state = group.get_weights()["default_policy"]
        group.shutdown()
        return state, ratings, told

    start: dict = {}
    single, rated, told = state_after(0, [[Here(sample)]])
    double, rated_by_two, told_by_two = state_after(2, [[Here(half)] for half in halves])
    for name, value in single.items():
        np.testing.assert_allclose(double[name], value, atol=2e-6, rtol=1e-4, err_msg=name)
    joined = np.concatenate(ray.get([rating.td_errors for rating in rated_by_two]))
    order = np.argsort(np.concatenate(ray.get([rating.row_ids for rating in rated_by_two])))
    np.testing.assert_allclose(joined[order], rated[0].td_errors, atol=1e-5)
    for result in told_by_two:
        mean = float(result["default_policy"]["td_error"].peek())
        assert mean == pytest.approx(float(told[0]["default_policy"]["td_error"].peek()), rel=1e-4)
