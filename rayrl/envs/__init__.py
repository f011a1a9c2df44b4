"""Environments that rayrl brings, registered with Gymnasium on import, and their demonstrators.

Registration names modules and imports none, so that it costs nothing to a process that uses none of them.
"""

import gymnasium

from rayrl.envs.demonstrators import register_demonstrator

__all__ = ["register"]


def register() -> None:
    """Makes the environments and demonstrators known; calling it again changes nothing."""
    if "rayrl/Router-v0" not in gymnasium.registry:
        gymnasium.register(
            "rayrl/Router-v0",
            entry_point="rayrl.envs.router.env:RouterEnv",
            vector_entry_point="rayrl.envs.router.env:RouterVectorEnv",
        )
    for name, policy in {
        "round_robin": "RoundRobin",
        "least_outstanding": "LeastOutstanding",
        "join_shortest_work": "JoinShortestWork",
    }.items():
        register_demonstrator("rayrl/Router-v0", name, f"rayrl.envs.router.demonstrators:{policy}")


register()
