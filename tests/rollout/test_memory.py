"""What a policy remembers goes on over batches, and begins anew with each episode."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from rayrl.envs.spec import EnvSpec
from rayrl.experience.columns import ACTION_DIST_INPUTS, STATE
from rayrl.experience.dataset import open_dataset
from rayrl.models.actor_critic import ActorCritic, module_spec
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_folder import load_policy, save_policy
from rayrl.rollout.behavior import PolicyBehavior, RandomBehavior
from rayrl.rollout.collector import Collector
from rayrl.rollout.demos import collect_demonstrations
from rayrl.rollout.options import CollectOptions
from rayrl.rollout.origin import Origin
from tests.rollout.stateful_env import RandomWalk, RandomWalks

MODES = list(AutoresetMode)


@pytest.fixture(scope="module")
def module() -> ActorCritic:
    torch.manual_seed(0)
    spec = module_spec(ModelConfig(fcnet_hiddens=[8], gru_cell_size=4, vf_share_layers=True))
    walk = RandomWalk()
    spec.observation_space, spec.action_space = walk.observation_space, walk.action_space
    made: ActorCritic = spec.build()
    with torch.no_grad():  # far from uniform
        for parameter in made.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape))
    return made


def collecting(mode: AutoresetMode) -> Collector:
    return Collector(lambda: RandomWalks(3, mode), Origin("memory", seed=1))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("sizes", [[60], [7, 1, 20, 2, 30], [1] * 12])
def test_each_episode_is_remembered_from_its_first_step_on(
    mode: AutoresetMode, sizes: list[int], module: ActorCritic
) -> None:
    collector, behavior = collecting(mode), PolicyBehavior(module, explore=True)
    remembered: dict[tuple[int, ...], torch.Tensor] = {}
    lengths = []
    for size in sizes:
        batch = collector.collect(behavior, num_steps=size).batch
        assert STATE not in batch.columns
        columns: Any = batch.trajectory_columns
        for i in range(batch.num_trajectories):
            rows, episode = slice(*batch.offsets[i : i + 2].tolist()), tuple(columns["episode_id"][i])
            if columns["first_step"][i] == 0:
                assert not columns[STATE][i].any()
                remembered[episode] = module.network.initial_state(1)
            state = remembered[episode]
            np.testing.assert_allclose(columns[STATE][i], state[0].detach(), atol=1e-6)
            observations: Any = batch.columns["obs"][rows]
            for x, kept in zip(observations, batch.columns[ACTION_DIST_INPUTS][rows], strict=True):
                inputs, state = module.network.step({"obs": torch.from_numpy(x[None])}, state)
                np.testing.assert_allclose(kept, inputs[0].detach(), rtol=1e-4, atol=1e-5)
            remembered[episode] = state
            lengths.append(len(observations))
    assert sum(lengths) == sum(sizes)
    assert len(remembered) > 3 or sum(sizes) < 15


def test_who_remembers_nothing_leaves_nothing(module: ActorCritic) -> None:
    collector = collecting(AutoresetMode.SAME_STEP)
    collector.collect(PolicyBehavior(module, explore=True), num_steps=4)
    assert collector.get_state()["memory"].any()
    batch = collector.collect(RandomBehavior(RandomWalk().action_space), num_steps=6).batch
    assert STATE not in batch.trajectory_columns
    assert collector.get_state()["memory"].shape == (3, 0)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_policy_that_remembers_demonstrates(
    tmp_path: Path, module: ActorCritic, deterministic: bool
) -> None:
    save_policy(tmp_path / "policy", module.network, architecture="gru", provenance={})
    walks = EnvSpec(id="tests.rollout.stateful_env:RandomWalk")
    demonstrator = {"policy": tmp_path / "policy", "share": 1, "deterministic": deterministic}
    options = CollectOptions(demonstrators={"gru": demonstrator}, steps=60, envs=4)
    collect_demonstrations(walks, tmp_path / "demos", options)
    batch, policy = open_dataset(tmp_path / "demos").load(), load_policy(tmp_path / "policy")
    actions: Any = batch.columns["actions"]
    assert STATE not in batch.trajectory_columns
    agreed = []
    for first, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
        state = policy.initial_state()
        for row in range(first, stop):
            action, state = policy.step(batch.columns["obs"][row], state)  # type: ignore[index]
            agreed.append(action == actions[row])
    assert np.mean(agreed) == 1 if deterministic else 0.3 < np.mean(agreed) < 1
