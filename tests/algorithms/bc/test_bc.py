"""Behaviour cloning of demonstrations whose right answers are known."""

import numpy as np
import pytest
from ray.rllib.core.learner.learner_group import LearnerGroup

from rayrl.algorithms.actors import update_learners
from rayrl.algorithms.bc import BCConfig
from rayrl.algorithms.bc.data import DemonstrationData, Demonstrations
from rayrl.algorithms.bc.learner import BCLearner
from rayrl.errors import ConfigError
from rayrl.experience.dataset import open_dataset
from tests.algorithms.bc.demonstrations import ACTIONS, OBSERVATION, write_demonstrations
from tests.algorithms.learners import assert_same


@pytest.fixture
def dataset(tmp_path):
    return write_demonstrations(tmp_path / "demos")


def config(dataset, model_config=None, **training) -> BCConfig:
    return (
        BCConfig()
        .training(**{"dataset": dataset, "minibatch_size": 64, "lr": 0.01, "val_fraction": 0.2, **training})
        .rl_module(model_config={"fcnet_hiddens": [16], **(model_config or {})})
    )


def group_of(made: BCConfig) -> LearnerGroup:
    made.validate()
    return made.build_learner_group(spaces={"default_policy": (made.observation_space, made.action_space)})


def epoch(group, made) -> dict[str, float]:
    results = update_learners(
        group, DemonstrationData(path=made.dataset), {"num_env_steps_sampled_lifetime": 0}, 60.0
    )
    return {name: float(value.peek()) for name, value in results[0]["default_policy"].items()}


def epochs(made, n):
    group = group_of(made)
    return group, [epoch(group, made) for _ in range(n)]


@pytest.mark.parametrize("kind", ["discrete", "multi-discrete"])
def test_discrete_actions_are_learned(tmp_path, kind):
    _, results = epochs(config(write_demonstrations(tmp_path / "demos", kind)), 15)
    assert results[0]["val_loss"] > 2 * results[-1]["val_loss"]
    assert results[-1]["val_accuracy"] > 0.9
    assert results[-1]["train_accuracy"] > 0.9
    assert 0 < results[-1]["entropy"] < results[0]["entropy"]


def test_continuous_actions_are_learned_in_the_policys_own_units(tmp_path):
    # Bounds (-2, 2) and (0, 10) are (-1, 1) to the policy: half the distance in the first element, a fifth
    # in the second. The demonstrator is tanh: within 0.1 of it is far closer than any constant action.
    made = config(write_demonstrations(tmp_path / "demos", "box"), {"free_log_std": True})
    group, results = epochs(made, 40)
    assert results[-1]["val_action_error"] < 0.05
    learner = group._learner
    from_env = learner.policy.distribution.from_env(np.array([[2, 0], [0, 10]], np.float32))
    np.testing.assert_allclose(from_env, [[1, -1], [0, 1]])


def test_losses_are_of_each_side_of_the_split(dataset):
    made = config(dataset, minibatch_size=10_000, lr=0.0)
    group, (result,) = epochs(made, 1)
    learner = group._learner
    batch = open_dataset(dataset).load()
    data = Demonstrations.open(dataset, val_fraction=0.2, seed=0, rank=0, learners=1, fit_all=False)
    assert (data.train.num_steps, data.val.num_steps) == (480, 120)
    assert data.train.num_steps + data.val.num_steps == batch.num_steps
    for side, name in ((data.train, "train_loss"), (data.val, "val_loss")):
        columns = learner._shown(side).columns
        logp = learner.policy.distribution.logp(learner.policy.policy(columns), columns["actions"])
        assert result[name] == pytest.approx(-logp.mean().item(), rel=1e-5)


def test_the_normalizer_is_of_the_training_split_alone(dataset):
    made = config(dataset, {"normalize_observations": True})
    group, _ = epochs(made, 2)
    data = Demonstrations.open(dataset, val_fraction=0.2, seed=0, rank=0, learners=1, fit_all=False)
    normalizer = group._learner.policy.normalizer
    assert float(normalizer.count) == data.train.num_steps
    np.testing.assert_allclose(normalizer.mean.numpy(), data.train.columns["obs"].astype(np.float64).mean(0))


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    # A large network on few noisy demonstrations soon learns the noise.
    demos = write_demonstrations(tmp_path / "demos", episodes=6, length=10, noise=0.5)
    made = config(demos, {"fcnet_hiddens": [64, 64]}, lr=0.02, val_fraction=0.5, minibatch_size=8)
    group = group_of(made)
    learner, losses, weights = group._learner, [], []
    for _ in range(30):
        losses.append(epoch(group, made)["val_loss"])
        weights.append(learner.policy.get_state())
    best = int(np.argmin(losses))
    assert best < 29, "nothing was overfitted"
    result = epoch(group, made)
    assert (result["best_epoch"], result["best_loss"]) == (best + 1, losses[best])
    assert_same(learner.best_weights(), weights[best])


def test_without_validation_the_training_loss_decides(dataset):
    _, results = epochs(config(dataset, val_fraction=0.0), 2)
    assert "val_loss" not in results[-1]
    assert results[-1]["best_loss"] == min(result["train_loss"] for result in results)


def test_another_seed_gives_another_split(dataset):
    splits = [
        Demonstrations.open(dataset, val_fraction=0.2, seed=seed, rank=0, learners=1, fit_all=False).val
        for seed in (0, 0, 1)
    ]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_learners_share_both_sides_of_the_split(dataset):
    whole = Demonstrations.open(dataset, val_fraction=0.2, seed=0, rank=0, learners=1, fit_all=False)
    halves = [
        Demonstrations.open(dataset, val_fraction=0.2, seed=0, rank=rank, learners=2, fit_all=False)
        for rank in range(2)
    ]
    for side in ("train", "val"):
        parts = [getattr(half, side).columns["obs"] for half in halves]
        np.testing.assert_array_equal(np.concatenate(parts), getattr(whole, side).columns["obs"])


def test_spaces_come_from_the_dataset(dataset):
    made = config(dataset)
    made.validate()
    assert (made.observation_space, made.action_space) == (OBSERVATION, ACTIONS["discrete"])
    made = config(dataset)
    made.action_space = ACTIONS["box"]
    with pytest.raises(ConfigError, match="Box against Discrete"):
        made.validate()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"val_fraction": 1.0}, "val_fraction"), ({"lr": [[0, 1.0]]}, "lr"), ({"gamma": 0.5}, "gamma")],
)
def test_wrong_options_raise(dataset, options, message):
    with pytest.raises(ConfigError, match=message):
        config(dataset, **options).validate()


class InOrder(BCLearner):
    """Takes the rows as they come."""

    def order(self, rows, numbers):
        return np.arange(rows)


@pytest.mark.usefixtures("ray_cluster")
class TestWithRay:
    def test_it_stops_early(self, tmp_path):
        demos = write_demonstrations(tmp_path / "demos", episodes=6, length=10, noise=0.5)
        made = config(
            demos,
            {"fcnet_hiddens": [64, 64]},
            lr=0.02,
            val_fraction=0.5,
            minibatch_size=8,
            early_stop_patience=3,
        )
        algorithm = made.build_algo()
        for _ in range(40):
            result = algorithm.train()
            learner = result["learners"]["default_policy"]
            late = result["training_iteration"] - learner["best_epoch"] >= 3
            assert result["early_stop"] == late
            if late:
                break
        assert late
        best = algorithm.best_weights()
        assert_same(best, algorithm.learner_group._learner.best_weights())
        algorithm.stop()

    def test_two_learners_clone_as_one_does(self, dataset):
        # 24 and 6 episodes of 20 steps; all rows of a side in one minibatch.
        options = {"learner_class": InOrder}
        one = config(dataset, {"normalize_observations": True}, minibatch_size=480).learners(**options)
        two = config(dataset, {"normalize_observations": True}, minibatch_size=240).learners(
            num_learners=2, num_cpus_per_learner=0.5, **options
        )
        single, pair = group_of(one), group_of(two)
        pair.set_state(single.get_state())
        for _ in range(3):
            result, expected = epoch(pair, two), epoch(single, one)
            for name in ("train_loss", "val_loss", "val_accuracy", "train_accuracy", "best_loss"):
                assert result[name] == pytest.approx(expected[name], rel=1e-5), name
        weights = [group.get_weights()["default_policy"] for group in (pair, single)]
        for name, value in weights[0].items():
            np.testing.assert_allclose(value, weights[1][name], rtol=1e-5, atol=1e-7, err_msg=name)
        pair.shutdown()
