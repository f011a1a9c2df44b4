"""The planner as a demonstrator: a shortest safe way from wherever the agent is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from rayrl.envs.mine_maze.env import MineMazeVectorEnv
from rayrl.envs.mine_maze.simulator import planned_actions
from rayrl.errors import EnvError


class Planner:
    """Takes the fewest steps to the exit, the first of equals (up, right, down, left, stay).

    It reads the environment's own state, so it is right in any state, whoever brought the agent there. Where
    no way is left, it stays.
    """

    def __init__(self, *, seed: int) -> None:
        del seed

    def act(self, env: VectorEnv[Any, Any, Any], observations: Any) -> NDArray[np.int64]:
        """Actions, (num_envs,)."""
        if not isinstance(env, MineMazeVectorEnv):
            raise EnvError(f"the planner acts on MineMazeVectorEnv, not on {type(env).__name__}")
        actions = np.empty(env.num_envs, np.int64)
        planned_actions(env.episodes.simulation, actions)
        return actions

    def get_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""
