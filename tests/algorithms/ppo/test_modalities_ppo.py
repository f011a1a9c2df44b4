"""PPO, cloning and Q-learning of networks that read graphs, images and vectors of a level."""

import numpy as np
import pytest
import torch

import rayrl
from rayrl.algorithms.bc import BCConfig
from rayrl.algorithms.dqn import DQNConfig
from rayrl.algorithms.ppo import PPOConfig
from rayrl.envs.spec import EnvSpec
from rayrl.experience.dataset import open_dataset
from rayrl.models.architectures import model_config
from tests.algorithms.bc.test_bc import epochs
from tests.algorithms.learners import FirstRatios
from tests.models.level_observations import used_by

pytestmark = pytest.mark.usefixtures("ray_cluster")
MAZE = EnvSpec(id="rayrl/MineMaze-v0", config={"categories": {"very_simple": 1}})
SMALL = {
    "graph": {"hidden_dim": 16, "num_layers": 2},
    "visual": {"conv_filters": [[4, 3, 2]], "output_dim": 8},
    "state": {"hidden_dims": [8], "output_dim": 8},
    "fusion": {"width": 16},
    "features_dim": 16,
    "head_fcnet_hiddens": [],
}


def on_maze(config, name, learners=0, **options):
    config.environment(MAZE.id, env_config=dict(MAZE.config))
    config.env_runners(num_envs_per_env_runner=4, num_cpus_per_env_runner=0.2)
    config.learners(num_learners=learners, num_cpus_per_learner=0.2 if learners else "auto")
    return config.rl_module(model_config=model_config(name, used_by(name, SMALL), options))


def ppo(name, learners=0, **options):
    config = on_maze(PPOConfig(), name, learners, **options)
    return config.training(train_batch_size_per_learner=64, minibatch_size=16, num_epochs=2)


@pytest.fixture
def make():
    built = []

    def of(config):
        built.append(config.build_algo())
        return built[-1]

    yield of
    for algorithm in built:
        algorithm.stop()


def parameters_of(algorithm):
    named = algorithm.learner_group._learner.policy.network.named_parameters()
    return {name: x.detach().clone() for name, x in named}


@pytest.mark.parametrize("name", ["gcn", "gat", "full_hgt", "simplified_hgt"])
def test_an_iteration_moves_every_parameter_and_begins_at_the_ratio_one(make, name):
    algorithm = make(ppo(name).learners(learner_class=FirstRatios))
    before = parameters_of(algorithm)
    for _ in range(2):
        result = algorithm.train()
        assert np.isfinite(result["learners"]["default_policy"]["total_loss"])
    np.testing.assert_allclose(algorithm.learner_group._learner.first_ratios, 1, atol=1e-4)
    after = parameters_of(algorithm)
    assert [key for key, x in after.items() if torch.equal(x, before[key])] == []


def test_a_memory_learns_over_modalities(make):
    algorithm = make(ppo("gcn", gru_cell_size=8, max_seq_len=8, burn_in=2))
    assert np.isfinite(algorithm.train()["learners"]["default_policy"]["total_loss"])


@pytest.mark.slow
def test_two_learners_go_the_same_way(make):
    algorithm = make(ppo("full_hgt", learners=2, vf_share_layers=False))
    result = algorithm.train()
    assert np.isfinite(result["learners"]["default_policy"]["total_loss"])
    weights = algorithm.learner_group.foreach_learner(
        lambda learner: {n: p.detach().numpy() for n, p in learner.policy.network.named_parameters()}
    )
    first, second = (each.get() for each in weights)
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_cloning_the_planner(tmp_path):
    path = tmp_path / "demos"
    rayrl.collect(MAZE, path, demonstrators="planner", steps=600)
    assert open_dataset(path).num_steps >= 600
    config = BCConfig().training(dataset=path, minibatch_size=64, lr=0.01, val_fraction=0.2)
    _, results = epochs(config.rl_module(model_config=model_config("gat", SMALL)), 8)
    assert results[-1]["train_loss"] < 0.8 * results[0]["train_loss"]
    assert results[-1]["val_accuracy"] > results[0]["val_accuracy"]


def test_q_learning_reads_modalities(make):
    config = on_maze(DQNConfig(), "gcn").training(
        train_batch_size_per_learner=16, num_steps_sampled_before_learning_starts=40
    )
    result = make(config.reporting(min_sample_timesteps_per_iteration=80)).train()
    assert np.isfinite(result["learners"]["default_policy"]["td_loss"])
