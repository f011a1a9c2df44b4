"""SAC and DQN on observations and actions of many kinds, from the environment to the saved buffer."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from ray.tune import register_env

from rayrl.algorithms.dqn import DQNConfig
from rayrl.algorithms.sac import SACConfig
from rayrl.experience.replay import ReplayBuffer
from tests.algorithms.offpolicy.space_envs import OBSERVATIONS, ManySpaces

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.mark.parametrize("observation", OBSERVATIONS)
@pytest.mark.parametrize(
    ("kind", "action"),
    [(SACConfig, "float32"), (SACConfig, "float64"), (SACConfig, "discrete"), (DQNConfig, "discrete")],
)
def test_any_spaces_are_learned_from_and_saved_as_they_are(build, tmp_path, kind, observation, action):
    register_env("many-spaces", ManySpaces)
    network = {"fcnet_hiddens": [8]}
    if observation == "image":
        network["conv_filters"] = [[4, 3, 2]]
    config = (
        kind()
        .environment("many-spaces", env_config={"observation": observation, "action": action})
        .env_runners(num_envs_per_env_runner=2, rollout_fragment_length=8)
        .rl_module(model_config=network)
        .training(
            train_batch_size_per_learner=16,
            num_steps_sampled_before_learning_starts=32,
            gradient_steps_per_env_step=0.25,
            n_step=2,
        )
        .replay(capacity=100)
        .reporting(min_sample_timesteps_per_iteration=64)
    )
    algorithm = build(config)
    algorithm.train()
    learner = algorithm.train()["learners"]["default_policy"]
    assert learner["gradient_steps"] == 16
    assert learner["gradient_steps_skipped"] == 0
    loss = "critic_loss" if kind is SACConfig else "td_loss"
    assert np.isfinite(learner[loss])
    env = ManySpaces(config.env_config)
    buffer = ReplayBuffer.load(algorithm.replay_buffer.save(tmp_path / "saved"), env)
    assert len(buffer) == 100
    columns = buffer.get_all_trajectories().batch.columns
    parts = {"obs": env.observation_space}
    if isinstance(env.observation_space, Dict):
        parts = {f"obs/{name}": part for name, part in env.observation_space.items()}
    for name, space in {**parts, "actions": env.action_space}.items():
        assert columns[name].dtype == space.dtype
        if isinstance(space, Box):
            assert (space.low <= columns[name]).all()
            assert (columns[name] <= space.high).all()
            assert len(np.unique(columns[name])) > 5
        else:
            assert set(columns[name].tolist()) == set(range(space.start, space.start + space.n))
