"""Demonstrations from replays, in the place of demonstrators, as an experiment asks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rayrl.envs.mine_maze.suite import ENV_ID
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError
from rayrl.experience.dataset import Dataset
from rayrl.rollout.maze_replays import FittingReplays, read_fitting_replays, simulate_replays
from rayrl.rollout.options import CollectOptions


def plan_replays(env: EnvSpec, options: CollectOptions) -> FittingReplays:
    """Reads the replays, plays them, and looks whether they fit the environment.

    Args:
        env: the environment.
        options: which replays.

    Raises:
        ConfigError: they are of another environment, or an option of it is wrong.
        DataError: a file is no file of replays, a replay does not come to what it records, or its level does
            not fit into the observations; naming the replay.
    """
    assert options.replays is not None  # who calls has looked
    if env.id != ENV_ID:
        raise ConfigError(
            f"replays are of {ENV_ID}, and env.id is {env.id}",
            where=f"collect.replays = {options.replays}",
            remedy=f"name demonstrators instead, or set env.id: {ENV_ID}",
        )
    return read_fitting_replays(options.replays, env.config, first=options.first_replays)


def demonstrations_of_replays(
    env: EnvSpec,
    path: Path,
    options: CollectOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Dataset | None:
    """Simulates the replays again for the observations and rewards of an environment.

    Args:
        env: the environment.
        path: the dataset's folder, there whole or not at all; one that is there is replaced.
        options: which replays.
        progress: told how many replays are done, and of how many.
        stop_requested: looked at now and then; nothing is kept then.

    Returns:
        The dataset; None where it was asked to stop.

    Raises:
        ConfigError: they are of another environment, or an option of it is wrong.
        DataError: a replay cannot be read, does not come to what it records, or does not fit; naming it.
        StorageError: the disk is full or not writable.
    """
    return simulate_replays(
        plan_replays(env, options), path, progress=progress, stop_requested=stop_requested
    )
