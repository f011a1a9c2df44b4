"""Demonstrations from replays, in the place of demonstrators, as an experiment asks for them."""

from __future__ import annotations

from rayrl.envs.mine_maze.suite import ENV_ID
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError
from rayrl.rollout.maze_replays import FittingReplays, read_fitting_replays
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
