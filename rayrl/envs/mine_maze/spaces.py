"""The spaces of ``rayrl/MineMaze-v0``, as its options size them."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space

from rayrl.envs.mine_maze.categories import Room
from rayrl.envs.mine_maze.config import MineMazeConfig
from rayrl.envs.mine_maze.graph import FEATURES, STATES, STATIC
from rayrl.envs.mine_maze.images import FRAME_CELLS, FRAME_SCALE, VIEW_SCALE
from rayrl.envs.mine_maze.observation import GAME_STATE, REACHABILITY

ACTIONS = Discrete(5)
"""Stay, up, right, down, left."""


def observation_space(config: MineMazeConfig, room: Room) -> Dict:
    """The parts that are asked for, with room for the largest level."""
    return Dict({name: _part(name, room) for name in config.observations})


def static_observations(config: MineMazeConfig) -> tuple[str, ...]:
    """The parts that do not change within an episode, as ``graph/node_types``."""
    return tuple(f"graph/{name}" for name in STATIC) if "graph" in config.observations else ()


def _part(name: str, room: Room) -> Space:
    if name == "game_state":
        return Box(-1.0, 1.0, (len(GAME_STATE),), np.float32)
    if name == "reachability":
        return Box(0.0, 1.0, (len(REACHABILITY),), np.float32)
    if name == "action_mask":
        return Box(0, 1, (ACTIONS.n,), np.int8)
    if name == "graph":
        return _graph(room)
    side = FRAME_CELLS * FRAME_SCALE if name == "player_frame" else room.side * VIEW_SCALE
    return Box(0, 255, (side, side, 1), np.uint8)


def _graph(room: Room) -> Dict:
    nodes, edges = room.cells, room.edges
    return Dict(
        {
            "node_features": Box(-1.0, 1.0, (nodes, len(FEATURES)), np.float32),
            "node_types": Box(0, 5, (nodes,), np.uint8),
            "node_state": Box(0.0, 1.0, (nodes, len(STATES)), np.float32),
            "node_mask": Box(0, 1, (nodes,), np.uint8),
            "focus": Box(0, 1, (nodes,), np.uint8),
            "edge_index": Box(0, nodes - 1, (2, edges), np.int32),
            "edge_types": Box(0, 3, (edges,), np.uint8),
            "edge_mask": Box(0, 1, (edges,), np.uint8),
        }
    )
