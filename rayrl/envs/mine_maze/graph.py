"""The graph of a level in numba: cells are nodes, neighbours and what belongs together are joined.

Nodes are the walkable cells, row by row; with ``wall_nodes``, also each wall that lies between two of them,
left and right or above and below. What does not change in an episode is written when it begins.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rayrl.envs.mine_maze.categories import Room
from rayrl.envs.mine_maze.rules import DOOR, EMPTY, EXIT, MINE, SPAWN, SWITCH, WALL
from rayrl.envs.mine_maze.simulator import Simulation, maze_of
from rayrl.envs.mine_maze.walls import distances

NODE_EMPTY, NODE_WALL, NODE_ENTITY, NODE_HAZARD, NODE_SPAWN, NODE_EXIT = range(6)
ADJACENT, REACHABLE, FUNCTIONAL, BLOCKED = range(4)

FEATURES = (
    "row",
    "column",
    "exit_rows",
    "exit_columns",
    "walls",
    "wall_up",
    "wall_right",
    "wall_down",
    "wall_left",
    "mine",
    "patrolled",
    "switch",
    "door",
    "number",
)
"""Of each node, fixed for the episode; in this order."""
STATES = ("agent", "mine_now", "mine_next", "door_closed", "switch_unpressed", "visited")
"""Of each node, now; in this order."""
STATIC = ("node_features", "node_types", "node_mask", "edge_index", "edge_types", "edge_mask")
"""Parts that do not change within an episode."""


class GraphArrays(NamedTuple):
    """Of B graphs with N nodes and E edges at most; what is not used is 0, and so is its mask."""

    node_features: NDArray[np.float32]
    """(B, N, FEATURES)"""
    node_types: NDArray[np.uint8]
    """(B, N)"""
    node_mask: NDArray[np.uint8]
    """(B, N): 1 where a node is."""
    edge_index: NDArray[np.int32]
    """(B, 2, E): from which node, to which."""
    edge_types: NDArray[np.uint8]
    """(B, E)"""
    edge_mask: NDArray[np.uint8]
    """(B, E): 1 where an edge is."""

    @classmethod
    def empty(cls, room: Room, num_envs: int) -> Self:
        """Graphs without nodes."""
        nodes, edges = (num_envs, room.cells), (num_envs, room.edges)
        return cls(
            node_features=np.zeros((*nodes, len(FEATURES)), np.float32),
            node_types=np.zeros(nodes, np.uint8),
            node_mask=np.zeros(nodes, np.uint8),
            edge_index=np.zeros((num_envs, 2, room.edges), np.int32),
            edge_types=np.zeros(edges, np.uint8),
            edge_mask=np.zeros(edges, np.uint8),
        )

    def copy(self) -> Self:
        """The same in memory of its own."""
        return self._replace(**{name: array.copy() for name, array in self._asdict().items()})


@njit(cache=True)
def build_graph(
    simulation: Simulation,
    b: int,
    side: int,
    wall_nodes: bool,
    nodes: NDArray[np.int16],
    graph: GraphArrays,
) -> None:
    """Writes the graph of the level in slot ``b``.

    Args:
        simulation: holds the level.
        b: the slot.
        side: rows and columns that the observation has room for: the unit of offsets.
        wall_nodes: whether walls between two walkable cells are nodes.
        nodes: written, (B, C): the node of each cell, -1 where there is none.
        graph: written.
    """
    maze = maze_of(simulation, b)
    cells = maze.kinds.shape[0]
    for array in (graph.node_types[b], graph.node_mask[b], graph.edge_types[b], graph.edge_mask[b]):
        array[:] = 0
    graph.node_features[b] = 0.0
    graph.edge_index[b] = 0
    nodes[b] = -1
    count = 0
    for cell in range(cells):
        if maze.kinds[cell] != WALL or (wall_nodes and _between_two(maze, cell)):
            nodes[b, cell] = count
            _describe(maze, b, cell, count, side, graph)
            count += 1
    edges = 0
    for cell in range(cells):
        if nodes[b, cell] < 0:
            continue
        for direction in range(4):
            there = _beside(maze, cell, direction)
            if there < 0 or nodes[b, there] < 0:
                continue
            walls = (maze.kinds[cell] == WALL) + (maze.kinds[there] == WALL)
            if walls == 2:
                continue
            barred = walls or maze.kinds[cell] >= DOOR or maze.kinds[there] >= DOOR
            kind = BLOCKED if barred else ADJACENT
            edges = _join(graph, b, edges, nodes[b, cell], nodes[b, there], kind)
    landmarks = np.empty(2 + 2 * maze.doors, np.int64)
    marked = 0
    for cell in range(cells):
        kind = maze.kinds[cell]
        if kind in (SPAWN, EXIT) or kind >= SWITCH:
            landmarks[marked] = cell
            marked += 1
            for other in range(cells):
                if SWITCH <= kind < DOOR and maze.kinds[other] == kind + DOOR - SWITCH:
                    edges = _join(graph, b, edges, nodes[b, cell], nodes[b, other], FUNCTIONAL)
    closed = np.zeros(256, np.bool_)
    closed[WALL] = closed[MINE] = True
    closed[DOOR:] = True
    found, queue = np.empty(cells, np.int64), np.empty(cells, np.int64)
    for i in range(marked):
        origin = landmarks[i]
        distances(maze.kinds, maze.rows, maze.columns, origin, closed, found, queue)
        for j in range(marked):
            there = landmarks[j]
            if there == origin:
                continue
            reached = found[there] >= 0
            if maze.kinds[there] >= DOOR:  # a closed door is reached when one stands before it
                for direction in range(4):
                    before = _beside(maze, there, direction)
                    # Two doors in a row are not reached through one another.
                    reached |= before >= 0 and found[before] >= 0 and maze.kinds[before] < DOOR
            if reached:
                edges = _join(graph, b, edges, nodes[b, origin], nodes[b, there], REACHABLE)


@njit
def _join(graph, b, edges, source, target, kind):  # type: ignore[no-untyped-def]
    graph.edge_index[b, 0, edges] = source
    graph.edge_index[b, 1, edges] = target
    graph.edge_types[b, edges] = kind
    graph.edge_mask[b, edges] = 1
    return edges + 1


@njit
def _describe(maze, b, cell, node, side, graph):  # type: ignore[no-untyped-def]
    kind = maze.kinds[cell]
    row, column = cell // maze.columns, cell % maze.columns
    patrolled = False
    for phase in range(maze.period):
        patrolled |= kind == EMPTY and maze.mined[phase * maze.kinds.shape[0] + cell] == 1
    graph.node_mask[b, node] = 1
    if kind == WALL:
        graph.node_types[b, node] = NODE_WALL
    elif kind == SPAWN:
        graph.node_types[b, node] = NODE_SPAWN
    elif kind == EXIT:
        graph.node_types[b, node] = NODE_EXIT
    elif kind >= SWITCH:
        graph.node_types[b, node] = NODE_ENTITY
    elif kind == MINE or patrolled:
        graph.node_types[b, node] = NODE_HAZARD
    else:
        graph.node_types[b, node] = NODE_EMPTY
    features = graph.node_features[b, node]
    features[0] = 2.0 * row / (maze.rows - 1) - 1.0
    features[1] = 2.0 * column / (maze.columns - 1) - 1.0
    features[2] = (maze.exit // maze.columns - row) / side
    features[3] = (maze.exit % maze.columns - column) / side
    for direction in range(4):
        there = _beside(maze, cell, direction)
        wall = there < 0 or maze.kinds[there] == WALL
        features[4] += wall / 4
        features[5 + direction] = wall
    features[9] = kind == MINE
    features[10] = patrolled
    if kind >= DOOR:
        features[12] = 1.0
        features[13] = (kind - DOOR + 1) / 3
    elif kind >= SWITCH:
        features[11] = 1.0
        features[13] = (kind - SWITCH + 1) / 3


@njit
def _beside(maze, cell, direction):  # type: ignore[no-untyped-def]
    """The cell above, right, below or left; -1 outside."""
    row, column = cell // maze.columns, cell % maze.columns
    row += (direction == 2) - (direction == 0)
    column += (direction == 1) - (direction == 3)
    if row < 0 or row >= maze.rows or column < 0 or column >= maze.columns:
        return -1
    return row * maze.columns + column


@njit
def _between_two(maze, cell):  # type: ignore[no-untyped-def]
    """Whether walkable cells lie on two opposite sides."""
    for direction in range(2):
        one, other = _beside(maze, cell, direction), _beside(maze, cell, direction + 2)
        if one >= 0 and other >= 0 and maze.kinds[one] != WALL and maze.kinds[other] != WALL:
            return True
    return False


@njit(cache=True)
def write_node_state(
    simulation: Simulation, nodes: NDArray[np.int16], state: NDArray[np.float32], focus: NDArray[np.uint8]
) -> None:
    """Writes what changes: ``STATES`` of each node, (B, N, len(STATES)), and where the agent is, (B, N)."""
    state[:] = 0.0
    focus[:] = 0
    for b in range(state.shape[0]):
        maze, episode = maze_of(simulation, b), simulation.episodes[b]
        cells = maze.kinds.shape[0]
        now = episode.steps % maze.period * cells
        later = (episode.steps + 1) % maze.period * cells
        for cell in range(cells):
            node = nodes[b, cell]
            if node < 0:
                continue
            kind = maze.kinds[cell]
            state[b, node, 1] = maze.mined[now + cell]
            state[b, node, 2] = maze.mined[later + cell]
            if kind >= DOOR:
                state[b, node, 3] = not episode.doors >> (kind - DOOR) & 1
            elif kind >= SWITCH:
                state[b, node, 4] = not episode.doors >> (kind - SWITCH) & 1
            state[b, node, 5] = simulation.visited[b, cell]
        state[b, nodes[b, episode.cell], 0] = 1.0
        focus[b, nodes[b, episode.cell]] = 1
