"""The environments of an evaluation: slots whose episodes depend on their own seeds alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv

from rayrl.config.seeding import Role, environment_seed
from rayrl.envs.spec import EnvSpec
from rayrl.experience.columns import flatten_observation
from rayrl.rollout.vector_env import make_vector_env

_PROBE_SEEDS = (20_011, 7)
_PROBE_STEPS = 32


def evaluation_spec(
    spec: EnvSpec,
    changes: Mapping[str, Any] | None = None,
    *,
    where: str = "the environment of the evaluation",
) -> EnvSpec:
    """The environment with the options that it has in evaluation.

    Args:
        spec: the environment as it is trained on.
        changes: options that differ in evaluation; these win.
        where: what to name in an error.

    Raises:
        ConfigError: an option is unknown or wrong.
        DataError: a file of levels is damaged.
    """
    config = {**spec.config, **(changes or {})}
    if "split" not in (changes or {}):
        config |= _evaluation_split(spec.id, config, where)
    return EnvSpec.parse({"id": spec.id, "config": config}, where=where)


def _evaluation_split(env_id: str, config: Mapping[str, Any], where: str) -> dict[str, str | None]:
    """What evaluation changes in the options of rayrl's own environments."""
    if env_id == "rayrl/Router-v0":
        return {"split": "eval"}
    if env_id == "rayrl/MineMaze-v0":
        from rayrl.envs.mine_maze.config import MineMazeConfig
        from rayrl.envs.mine_maze.levels import evaluation_split

        return {"split": evaluation_split(MineMazeConfig.parse(config, where=where))}
    return {}


def episode_seed(seed: int, episode: int) -> int:
    """What the environment of an evaluation's episode is reset with, whoever acts."""
    return environment_seed(seed, Role.evaluation, iteration=episode)


def make_evaluation_env(spec: EnvSpec, num_envs: int) -> VectorEnv:
    """Sub-environments each of which, reset with a seed of its own, plays what a single one would play.

    An environment's own vectorization is used where it does so; most of Gymnasium's draw from one generator
    for all slots, and are replaced by single environments that step one after the other.

    Raises:
        EnvError: the environment is unknown, or its constructor raised.
    """
    env = make_vector_env(spec.id, spec.config, num_envs)
    if isinstance(env.unwrapped, SyncVectorEnv) or _plays_as_single(spec):
        return env
    env.close()
    return make_vector_env(spec.id, spec.config, num_envs, mode="sync")


def _plays_as_single(spec: EnvSpec) -> bool:
    """Whether slots of the environment's own vectorization begin their episodes as single ones do."""
    slots = len(_PROBE_SEEDS)
    native = make_vector_env(spec.id, spec.config, slots)
    single = make_vector_env(spec.id, spec.config, slots, mode="sync")
    try:
        return _play_alike(native, single)
    finally:
        native.close()
        single.close()


def _play_alike(native: VectorEnv, single: VectorEnv) -> bool:
    try:
        observations, _ = native.reset(seed=list(_PROBE_SEEDS))
    except Exception:
        # Gymnasium's own refuse a list of seeds, each with an error of another kind.
        return False
    if not _equal(observations, single.reset(seed=list(_PROBE_SEEDS))[0]):
        return False
    single.action_space.seed(0)
    for _ in range(_PROBE_STEPS):
        actions = single.action_space.sample()
        ours, theirs = native.step(actions), single.step(actions)
        if not all(np.array_equal(a, b) for a, b in zip(ours[1:4], theirs[1:4], strict=True)):
            return False
        if ours[2].any() or ours[3].any():
            # What follows depends on how each of them resets.
            break
        if not _equal(ours[0], theirs[0]):
            return False
    return True


def _equal(a: Any, b: Any) -> bool:
    parts_a, parts_b = flatten_observation(a), flatten_observation(b)
    return parts_a.keys() == parts_b.keys() and all(
        np.array_equal(parts_a[name], parts_b[name]) for name in parts_a
    )
