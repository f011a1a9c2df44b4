"""Cloning with schedule, smoothing, noise and weights, in the learner."""

import numpy as np
import pytest
import torch

from rayrl.algorithms.bc.agreement import agreements
from rayrl.algorithms.bc.data import Demonstrations
from rayrl.errors import ConfigError, DataError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import EnvInfo, open_dataset
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import Ragged
from tests.algorithms.bc.demonstrations import write_demonstrations
from tests.algorithms.bc.test_bc import config, epoch, epochs, group_of
from tests.algorithms.learners import assert_same


@pytest.fixture
def dataset(tmp_path):
    return write_demonstrations(tmp_path / "demos")


@pytest.fixture
def mixed(tmp_path, dataset):
    """The same, of which the first 24 episodes are by one demonstrator and 6 by another."""
    whole = open_dataset(dataset)
    names = Ragged.from_text(["many"] * 24 + ["few"] * 6)
    path = tmp_path / "mixed"
    with DatasetWriter(path, spaces=whole.spaces, env=EnvInfo(id="Test-v0")) as writer:
        writer.append(whole.load().with_trajectory_columns(demonstrator=names))
        writer.finish()
    return path


def test_the_learning_rate_follows_its_schedule(dataset, monkeypatch):
    # 480 rows in minibatches of 120: four steps an epoch, eight in all.
    made = config(
        dataset, lr=0.7, lr_schedule="linear", warmup_steps=1, schedule_epochs=2, minibatch_size=120
    )
    group = group_of(made)
    learner, seen = group._learner, []
    step = learner._optimizer.step
    monkeypatch.setattr(
        learner._optimizer, "step", lambda: (seen.append(learner._optimizer.param_groups[0]["lr"]), step())
    )
    for _ in range(2):
        epoch(group, made)
    assert seen == pytest.approx([0.7 * left / 6 for left in (6, 6, 5, 4, 3, 2, 1, 0)])


def test_a_restored_learner_goes_on_with_rate_and_noise(dataset):
    options = {"lr_schedule": "cosine", "schedule_epochs": 4, "input_noise": 0.3, "label_smoothing": 0.1}
    made = config(dataset, {"normalize_observations": True}, **options)
    straight, broken = group_of(made), group_of(made)
    broken.set_state(straight.get_state())
    for _ in range(2):
        epoch(straight, made)
    state = straight.get_state()
    expected = [epoch(straight, made) for _ in range(2)]
    broken.set_state(state)
    found = [epoch(broken, made) for _ in range(2)]
    for name in ("train_loss", "objective", "val_loss"):
        assert [r[name] for r in found] == [r[name] for r in expected]
    assert_same(broken._learner.policy.get_state(), straight._learner.policy.get_state())


def test_noise_is_in_units_of_the_normalized_observation(dataset):
    made = config(dataset, {"normalize_observations": True}, input_noise=0.5)
    group = group_of(made)
    epoch(group, made)
    learner = group._learner
    rows = torch.zeros(20_000, 2)
    noisy = learner._noisy({"obs": rows})["obs"]
    normalizer = learner.policy.normalizer
    difference = normalizer({"obs": noisy}) - normalizer({"obs": rows})
    np.testing.assert_allclose(difference.std(0).numpy(), [0.5, 0.5], rtol=0.05)
    std = np.sqrt(normalizer.m2.numpy() / float(normalizer.count))
    np.testing.assert_allclose(normalizer.spreads()["obs"].numpy(), std, rtol=1e-5)


def test_weights_make_the_objective_a_mean_over_groups(mixed):
    made = config(mixed, minibatch_size=10_000, lr=0.0, balance=["demonstrator"])
    group, (result,) = epochs(made, 1)
    data = Demonstrations.open(mixed, val_fraction=0.2, seed=0, rank=0, learners=1, balance=["demonstrator"])
    learner = group._learner
    columns = learner._shown(data.train).columns
    logp = learner.policy.distribution.logp(learner.policy.policy(columns), columns["actions"])
    names = np.array(data.train.trajectory_columns["demonstrator"].to_text())[data.train.trajectory_of_row()]
    of_each = [-logp[torch.from_numpy(names == name)].mean().item() for name in ("many", "few")]
    assert result["objective"] == pytest.approx(np.mean(of_each), rel=1e-5)
    assert result["train_loss"] == pytest.approx(-logp.mean().item(), rel=1e-5)
    # Weights belong to learning: what is measured stays the plain mean.
    assert "weight" not in data.val.columns


def test_the_weights_of_two_learners_are_those_of_one(mixed):
    whole = Demonstrations.open(mixed, val_fraction=0.2, seed=0, rank=0, learners=1, balance=["action"])
    halves = [
        Demonstrations.open(mixed, val_fraction=0.2, seed=0, rank=rank, learners=2, balance=["action"])
        for rank in range(2)
    ]
    parts = np.concatenate([half.train.columns["weight"] for half in halves])
    np.testing.assert_array_equal(parts, whole.train.columns["weight"])


def test_all_together_it_still_learns(mixed):
    options = {
        "lr_schedule": "cosine", "schedule_epochs": 15, "warmup_steps": 5, "label_smoothing": 0.1,
        "input_noise": 0.1, "balance": ["demonstrator", "action"],
    }  # fmt: skip
    _, results = epochs(config(mixed, {"normalize_observations": True}, **options), 15)
    assert results[-1]["val_accuracy"] > 0.9
    # The least that a smoothed target leaves is the entropy of the target itself.
    assert results[-1]["objective"] > -(0.95 * np.log(0.95) + 0.05 * np.log(0.05))


def test_moments_that_came_with_the_weights_stay(dataset):
    made = config(dataset, {"normalize_observations": True})
    group = group_of(made)
    normalizer = group._learner.policy.normalizer
    moments = torch.tensor([10.0, 0.0, 0.0, 40.0, 40.0], dtype=torch.float64)
    normalizer.update_from_moments(moments)
    epoch(group, made)
    assert float(normalizer.count) == 10
    np.testing.assert_allclose(normalizer.m2.numpy(), [40, 40])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, r"label_smoothing = 1.0\n  give a number in \[0, 1\)"),
        ({"input_noise": -1}, "input_noise = -1"),
        ({"balance": ["episode"]}, "some of demonstrator and action"),
        ({"lr_schedule": "steep"}, "lr_schedule = 'steep'"),
        ({"warmup_steps": 1.5}, "warmup_steps = 1.5"),
    ],
)
def test_wrong_options_raise(dataset, options, message):
    with pytest.raises(ConfigError, match=message):
        config(dataset, **options).validate()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("box", {"label_smoothing": 0.1}, "label_smoothing = 0.1 needs Discrete actions, not Box"),
        ("multi-discrete", {"label_smoothing": 0.1}, "needs Discrete actions"),
        ("box", {"balance": ["action"]}, "needs actions that can be counted, not Box"),
    ],
)
def test_options_go_with_actions(tmp_path, kind, options, message):
    with pytest.raises(ConfigError, match=message):
        config(write_demonstrations(tmp_path / "demos", kind), **options).validate()


def test_without_anything_to_learn_from_it_says_so(tmp_path, dataset):
    whole = open_dataset(dataset)
    batch = whole.load()
    with DatasetWriter(tmp_path / "none", spaces=whole.spaces, env=EnvInfo(id="Test-v0")) as writer:
        writer.append(batch.slice(0, 0))
        with pytest.raises(DataError, match="no trajectory was appended"):
            writer.finish()


class TestAgreements:
    def test_of_each_demonstrator_and_action(self, mixed):
        made = config(mixed)
        group, _ = epochs(made, 1)
        network = group._learner.policy.network
        batch = open_dataset(mixed).load()
        found = agreements(network, batch)
        mode = network.distribution.mode(
            network.policy({"obs": torch.tensor(batch.columns["obs"])}).detach().numpy()
        )
        same = mode == batch.columns["actions"]
        assert found["all"] == {"steps": 600, "value": pytest.approx(same.mean())}
        assert found["demonstrators"]["many"] == {"steps": 480, "value": pytest.approx(same[:480].mean())}
        assert found["demonstrators"]["few"] == {"steps": 120, "value": pytest.approx(same[480:].mean())}
        assert found["scenarios"] == {}
        threes = batch.columns["actions"] == 3
        assert found["actions"]["3"] == {
            "steps": int(threes.sum()),
            "value": pytest.approx(same[threes].mean()),
        }
        assert found["commonest"] == max(threes.mean(), 1 - threes.mean())

    def test_of_nothing(self, dataset):
        made = config(dataset)
        group, _ = epochs(made, 1)
        nothing = open_dataset(dataset).load().slice(0, 0)
        assert agreements(group._learner.policy.network, nothing)["all"] == {"steps": 0, "value": None}

    def test_of_continuous_actions_it_is_a_distance(self, tmp_path):
        path = write_demonstrations(tmp_path / "demos", "box")
        made = config(path)
        group, _ = epochs(made, 1)
        found = agreements(group._learner.policy.network, open_dataset(path).load())
        assert 0 < found["all"]["value"] < 1
        assert found["actions"] == {}
        assert "commonest" not in found


def test_a_single_episode_is_learned_from_and_not_measured_on(tmp_path):
    path = write_demonstrations(tmp_path / "demos", episodes=1)
    _, (result,) = epochs(config(path), 1)
    assert "val_loss" not in result
    assert isinstance(open_dataset(path).load(), TrajectoryBatch)
