"""The env runner as RLlib sees it, in this process."""

from typing import Any

import numpy as np
import pytest
import torch
from ray import tune
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, WEIGHTS_SEQ_NO

from rayrl.algorithms import PPOConfig
from rayrl.errors import EnvError
from rayrl.experience.columns import ACTION_DIST_INPUTS, ACTION_LOGP, ACTIONS
from rayrl.rollout.env_runner import COLLECTOR, ColumnarEnvRunner
from tests.rollout.runner_envs import ContextEnv, SeedEnv

SEED_ENV = "tests.rollout.runner_envs:SeedEnv"
WALK = "tests.rollout.stateful_env:RandomWalk"


def config_for(env: Any, env_config: dict[str, Any] | None = None, **options: Any) -> PPOConfig:
    config = PPOConfig()
    config.environment(env, env_config=env_config or {})
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=options.pop("num_envs", 3))
    config.rl_module(model_config={"fcnet_hiddens": [8]})
    config.debugging(seed=options.pop("seed", 0))
    config.training(**options)
    return config


def runner_for(env: Any, worker: int = 0, workers: int = 0, **options: Any) -> ColumnarEnvRunner:
    torch.manual_seed(7)  # every runner has the same weights
    return ColumnarEnvRunner(config=config_for(env, **options), worker_index=worker, num_workers=workers)


@pytest.mark.parametrize("env", [ContextEnv, "registered"])
def test_rllibs_environments_get_an_env_context(env: Any) -> None:
    tune.register_env("registered", ContextEnv)
    runner = runner_for(env, worker=2, workers=4, env_config={"size": 9})
    receipt, batch = runner.sample(num_timesteps=12)
    assert np.unique(batch.columns["obs"], axis=0).tolist() == [[2, 4, 9]]  # type: ignore[call-overload]
    assert (receipt.producer, receipt.num_steps) == (2, 12)
    assert (batch.trajectory_columns["producer"] == 2).all()


def test_other_names_get_keyword_arguments() -> None:
    runner = runner_for("CartPole-v1", env_config={"max_episode_steps": 4})
    receipt, batch = runner.sample(num_episodes=5)
    assert batch.lengths.max() == 4
    assert receipt.episodes.lengths.tolist() == batch.lengths.tolist()
    assert type(runner.env).__name__ == "CartPoleVectorEnv"


def test_native_vectorization_may_be_declined() -> None:
    runner = runner_for("CartPole-v1", native_vectorization=False)
    assert type(runner.env).__name__ == "SyncVectorEnv"


def test_how_much_to_sample() -> None:
    runner = runner_for(SEED_ENV)
    assert runner.sample(num_timesteps=7)[1].num_steps == 7
    receipt, batch = runner.sample(num_episodes=4)
    # Three sub-environments end their episodes of ten steps together.
    assert batch.lengths.tolist() == [10] * 6
    assert len(receipt.episodes) == 6
    assert np.allclose(receipt.episodes.returns, batch.trajectory_columns["episode_return"])  # type: ignore[arg-type]
    runner.config.rollout_fragment_length = 5
    assert runner.sample()[1].num_steps == 15
    assert runner.num_env_steps_sampled_lifetime == 7 + 60 + 15
    runner.config.batch_mode = "complete_episodes"
    assert runner.sample()[1].lengths.tolist() == [10] * 3


def test_force_reset_begins_new_episodes() -> None:
    runner = runner_for(SEED_ENV)
    runner.sample(num_timesteps=12)
    columns: Any = runner.sample(num_timesteps=12)[1].trajectory_columns
    assert columns["first_step"].tolist() == [4, 4, 4]
    columns = runner.sample(num_timesteps=12, force_reset=True)[1].trajectory_columns
    assert columns["first_step"].tolist() == [0, 0, 0]


def test_how_to_act() -> None:
    runner = runner_for(SEED_ENV)

    def means_and_actions(**options: Any) -> Any:
        columns = runner.sample(num_timesteps=60, **options)[1].columns
        return columns[ACTION_DIST_INPUTS][:, :1], columns[ACTIONS]

    means, actions = means_and_actions(explore=False)
    np.testing.assert_array_equal(actions, means)
    means, actions = means_and_actions()
    assert (actions != means).all()
    runner.config.explore = False
    means, actions = means_and_actions()
    np.testing.assert_array_equal(actions, means)
    _, batch = runner.sample(num_timesteps=60, random_actions=True)
    assert ACTION_LOGP not in batch.columns
    # In the policy's units, the bounds −2 and 2 are −1 and 1; the reward is the environment's action.
    actions = batch.columns[ACTIONS]
    assert actions.min() < -0.7
    assert actions.max() > 0.7
    np.testing.assert_allclose(batch.columns["rewards"], 2 * actions[:, 0], rtol=1e-5)  # type: ignore[arg-type]


def test_workers_and_sub_environments_have_their_own_seeds() -> None:
    batches = [runner_for(SEED_ENV, worker=worker).sample(num_timesteps=30)[1] for worker in (1, 2, 1)]
    assert batches[0] == batches[2]
    first = [batch.columns["obs"][batch.offsets[:-1]] for batch in batches[:2]]  # type: ignore[index]
    assert len(np.unique(np.concatenate(first), axis=0)) == 6
    noise = [batch.columns[ACTIONS] - batch.columns[ACTION_DIST_INPUTS][:, :1] for batch in batches[:2]]  # type: ignore[index]
    assert not np.isclose(noise[0], noise[1]).any()
    assert runner_for(SEED_ENV, worker=1, seed=1).sample(num_timesteps=30)[1] != batches[0]


def test_the_ratio_before_the_first_update_is_one() -> None:
    for env in ("CartPole-v1", SEED_ENV):
        config = config_for(env)
        runner = ColumnarEnvRunner(config=config, worker_index=1)
        learners = config.get_rl_module_spec(spaces=runner.get_spaces()).build()
        runner.set_state({COMPONENT_RL_MODULE: learners.get_state()})
        batch = runner.sample(num_timesteps=500)[1]
        columns: Any = batch.columns
        with torch.no_grad():
            inputs, _ = learners.policy_and_value({"obs": torch.from_numpy(columns["obs"])})
            logp = learners.distribution.logp(inputs, torch.from_numpy(columns[ACTIONS]))
        ratio = torch.exp(logp - torch.from_numpy(columns[ACTION_LOGP]))
        assert (ratio - 1).abs().max() < 1e-5


def test_it_has_no_value_network() -> None:
    runner = runner_for("CartPole-v1")
    assert runner.module is not None
    assert not any("value" in name for name in runner.module.get_state())


def test_spaces_go_by_rllibs_names() -> None:
    runner = runner_for(SEED_ENV)
    spaces = runner.get_spaces()
    assert spaces[INPUT_ENV_SINGLE_SPACES] == (SeedEnv.observation_space, SeedEnv.action_space)
    assert spaces[DEFAULT_MODULE_ID] == spaces[INPUT_ENV_SINGLE_SPACES]
    assert [space.shape for space in spaces[INPUT_ENV_SPACES]] == [(3, 2), (3, 1)]


def test_without_an_environment_there_is_a_policy_and_no_sample() -> None:
    with_env = runner_for(SEED_ENV)
    config = config_for(SEED_ENV)
    config.env_runners(num_env_runners=1, create_env_on_local_worker=False)
    runner = ColumnarEnvRunner(config=config, worker_index=0, spaces=with_env.get_spaces())
    assert runner.module is not None
    assert runner.get_spaces() == with_env.get_spaces()
    with pytest.raises(ValueError, match="create_env_on_local_worker"):
        runner.sample(num_timesteps=1)
    runner.stop()


def test_state_is_complete_and_can_be_had_in_parts() -> None:
    runner = runner_for(WALK)
    runner.sample(num_timesteps=31)
    state = runner.get_state()
    assert state.keys() == {COLLECTOR, COMPONENT_RL_MODULE, WEIGHTS_SEQ_NO, NUM_ENV_STEPS_SAMPLED_LIFETIME}
    assert COMPONENT_RL_MODULE not in runner.get_state(not_components=COMPONENT_RL_MODULE)
    assert COLLECTOR not in runner.get_state(components=COMPONENT_RL_MODULE)
    expected = runner.sample(num_timesteps=31)
    torch.manual_seed(8)
    restored = ColumnarEnvRunner(config=config_for(WALK), worker_index=0)
    assert restored.set_state(state)
    receipt, batch = restored.sample(num_timesteps=31)
    assert batch == expected[1]
    assert receipt.sequence == 1
    assert restored.num_env_steps_sampled_lifetime == 62
    assert not runner_for(SEED_ENV).set_state({COLLECTOR: _begun(SEED_ENV)})


def _begun(env: str) -> dict[str, Any]:
    runner = runner_for(env)
    runner.sample(num_timesteps=3)
    collector: dict[str, Any] = runner.get_state()[COLLECTOR]
    return collector


def test_older_weights_replace_newer_ones() -> None:
    runner = runner_for(WALK)
    old = runner.get_state(components=COMPONENT_RL_MODULE)
    new = {name: value + 1 for name, value in old[COMPONENT_RL_MODULE].items()}
    runner.set_state({COMPONENT_RL_MODULE: {DEFAULT_MODULE_ID: new}, WEIGHTS_SEQ_NO: 5})
    receipt, batch = runner.sample(num_timesteps=3)
    assert receipt.policy_version == 5
    assert (batch.trajectory_columns["policy_version_max"] == 5).all()
    receipt, batch = runner.sample_with({**old, WEIGHTS_SEQ_NO: 4}, 3)
    assert receipt.policy_version == 4
    assert runner.module is not None
    for name, value in runner.module.get_state().items():
        np.testing.assert_array_equal(value, old[COMPONENT_RL_MODULE][name])


def test_a_new_epoch_begins_new_batches_and_episodes() -> None:
    runner = runner_for(WALK)
    before = runner.sample(num_timesteps=9)
    runner.begin_epoch(2)
    receipt, batch = runner.sample(num_timesteps=9)
    assert (receipt.epoch, receipt.sequence) == (2, 0)
    columns: Any = batch.trajectory_columns
    assert (columns["epoch"] == 2).all()
    assert columns["first_step"][0] == 0
    ids: Any = before[1].trajectory_columns["episode_id"]
    assert not set(map(tuple, ids.tolist())) & set(map(tuple, columns["episode_id"].tolist()))


def test_an_environment_made_anew_goes_on_counting() -> None:
    runner = runner_for(WALK)
    old = runner.env
    runner.sample(num_timesteps=9)
    runner.make_env()
    assert runner.env is not old
    receipt, batch = runner.sample(num_timesteps=9)
    assert receipt.sequence == 1
    first: Any = batch.trajectory_columns["first_step"]
    assert not first.any()


def test_failures_are_counted_and_end_with_the_traceback() -> None:
    runner = runner_for(SEED_ENV, env_config={"fail_at": 15}, max_env_failures=3)
    old = runner.env
    receipt, batch = runner.sample(num_timesteps=90)
    assert receipt.env_failures > 0
    assert batch.num_steps == 90
    assert runner.env is not old
    runner.assert_healthy()
    runner = runner_for(SEED_ENV, env_config={"fail_at": 1}, max_env_failures=3)
    with pytest.raises(EnvError, match="the simulator crashed") as raised:
        runner.sample(num_timesteps=1)
    assert raised.value.where == "environment of worker 0"
