"""Environments that rayrl brings, registered with Gymnasium on import, and their demonstrators.

Registration names modules and imports none, so that it costs nothing to a process that uses none of them.
"""

import gymnasium

from rayrl.envs.demonstrators import default_mix, register_default_mix, register_demonstrator
from rayrl.envs.scenarios import register_scenarios

__all__ = ["default_mix", "register"]


def register() -> None:
    """Makes the environments and demonstrators known; calling it again changes nothing."""
    if "rayrl/Router-v0" not in gymnasium.registry:
        gymnasium.register(
            "rayrl/Router-v0",
            entry_point="rayrl.envs.router.env:RouterEnv",
            vector_entry_point="rayrl.envs.router.env:RouterVectorEnv",
        )
    if "rayrl/MineMaze-v0" not in gymnasium.registry:
        gymnasium.register(
            "rayrl/MineMaze-v0",
            entry_point="rayrl.envs.mine_maze.env:MineMazeEnv",
            vector_entry_point="rayrl.envs.mine_maze.env:MineMazeVectorEnv",
        )
    register_demonstrator("rayrl/MineMaze-v0", "planner", "rayrl.envs.mine_maze.demonstrators:Planner")
    register_default_mix("rayrl/MineMaze-v0", {"planner": 1})
    for name, policy in {
        "round_robin": "RoundRobin",
        "least_outstanding": "LeastOutstanding",
        "join_shortest_work": "JoinShortestWork",
    }.items():
        register_demonstrator("rayrl/Router-v0", name, f"rayrl.envs.router.demonstrators:{policy}")
    register_default_mix("rayrl/Router-v0", {"round_robin": 1, "least_outstanding": 1, "random": 1})
    register_scenarios("rayrl/Router-v0", "rayrl.envs.router.scenarios:scenarios")


register()
