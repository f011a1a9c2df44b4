from pathlib import Path
from typing import Any

import numpy as np

from rayrl.envs.mine_maze.graph import ADJACENT, BLOCKED, FEATURES, FUNCTIONAL, REACHABLE, STATES
from tests.envs.mine_maze.mazes import DOWN, RIGHT, level, playing, vector, walk, write_suite

#   nodes:  0 1 #     S a #
#           2 3 4     . A *
#           5 6 7     . . E
ROWS = ("Sa#", ".A*", "..E")
S, SWITCH, LEFT, DOOR, MINE, CORNER, BELOW, EXIT = range(8)


def graph(folder: Path, *rows: str, **options: Any) -> dict[str, np.ndarray]:
    observation: dict[str, Any] = playing(folder, *rows, **options).reset(seed=0)[0]
    parts: dict[str, np.ndarray] = observation["graph"]
    return parts


def edges(parts: dict[str, np.ndarray], kind: int) -> set[tuple[int, int]]:
    chosen = (parts["edge_types"] == kind) & (parts["edge_mask"] == 1)
    return {(int(a), int(b)) for a, b in parts["edge_index"][:, chosen].T}


def both(*pairs: tuple[int, int]) -> set[tuple[int, int]]:
    return {*pairs, *((b, a) for a, b in pairs)}


def test_walkable_cells_are_nodes_of_their_types(tmp_path: Path) -> None:
    parts = graph(tmp_path, *ROWS)
    assert parts["node_mask"].sum() == 8
    # SPAWN, ENTITY, EMPTY, ENTITY, HAZARD, EMPTY, EMPTY, EXIT
    assert parts["node_types"][:8].tolist() == [4, 2, 0, 2, 3, 0, 0, 5]
    assert not parts["node_types"][8:].any()
    assert not parts["node_features"][8:].any()
    assert not parts["node_state"][8:].any()


def test_edges_say_how_cells_belong_together(tmp_path: Path) -> None:
    parts = graph(tmp_path, *ROWS)
    assert edges(parts, ADJACENT) == both((S, SWITCH), (S, LEFT), (LEFT, CORNER), (CORNER, BELOW)) | both(
        (BELOW, EXIT), (MINE, EXIT)
    )
    assert edges(parts, BLOCKED) == both((SWITCH, DOOR), (LEFT, DOOR), (DOOR, BELOW), (DOOR, MINE))
    assert edges(parts, FUNCTIONAL) == {(SWITCH, DOOR)}
    landmarks = (S, SWITCH, DOOR, EXIT)
    assert edges(parts, REACHABLE) == {(a, b) for a in landmarks for b in landmarks if a != b}
    assert parts["edge_mask"].sum() == 12 + 8 + 1 + 12
    assert not parts["edge_index"][:, parts["edge_mask"] == 0].any()


def test_reachable_is_what_no_closed_door_parts(tmp_path: Path) -> None:
    # Nodes: S 0, a 1, A 2, E 3 in the upper row; the lower one is walls.
    parts = graph(tmp_path, "SaAE", "####")
    assert edges(parts, REACHABLE) == both((0, 1), (0, 2), (1, 2), (2, 3))


def test_walls_between_two_cells_may_be_nodes(tmp_path: Path) -> None:
    # The wall right of S has cells left and right of it; the others have none on opposite sides.
    rows = ("S#E", "...", "##.")
    assert graph(tmp_path, *rows)["node_mask"].sum() == 6
    parts = graph(tmp_path, *rows, wall_nodes=True)
    assert parts["node_mask"].sum() == 7
    assert parts["node_types"][:4].tolist() == [4, 1, 5, 0]
    assert edges(parts, BLOCKED) == both((0, 1), (1, 2), (1, 4))
    assert edges(parts, ADJACENT) == both((0, 3), (3, 4), (4, 5), (2, 5), (5, 6))


def test_features_are_where_a_node_is_and_what_is_beside_it(tmp_path: Path) -> None:
    parts = graph(tmp_path, *ROWS)
    start = dict(zip(FEATURES, parts["node_features"][S].tolist(), strict=True))
    unit = 1 / 13  # a complex level has 13 rows at most
    assert (start["row"], start["column"]) == (-1, -1)
    np.testing.assert_allclose((start["exit_rows"], start["exit_columns"]), (2 * unit, 2 * unit), rtol=1e-6)
    sides = [start[f"wall_{side}"] for side in ("up", "right", "down", "left")]
    assert (sides, start["walls"]) == ([1, 0, 0, 1], 0.5)
    of = {name: parts["node_features"][:, FEATURES.index(name)] for name in FEATURES}
    assert np.flatnonzero(of["mine"]).tolist() == [MINE]
    assert np.flatnonzero(of["switch"]).tolist() == [SWITCH]
    assert np.flatnonzero(of["door"]).tolist() == [DOOR]
    np.testing.assert_allclose(of["number"][[SWITCH, DOOR]], 1 / 3, rtol=1e-6)


def test_patrolled_cells_are_hazards(tmp_path: Path) -> None:
    parts = graph(tmp_path, "S...", "....", "...E", "0,2 RD")
    patrolled = np.flatnonzero(parts["node_features"][:, FEATURES.index("patrolled")])
    assert patrolled.tolist() == [2, 3, 7]
    assert parts["node_types"][patrolled].tolist() == [3, 3, 3]


def state(parts: dict[str, np.ndarray], name: str) -> list[int]:
    return np.flatnonzero(parts["node_state"][:, STATES.index(name)]).tolist()


def test_the_state_of_nodes_follows_the_episode(tmp_path: Path) -> None:
    env = playing(tmp_path, "Sa.#", ".A..", "...E", "1,2 R")
    parts = env.reset(seed=0)[0]["graph"]
    # Nodes: 0 1 2 # / 3 4 5 6 / 7 8 9 10
    assert state(parts, "agent") == np.flatnonzero(parts["focus"]).tolist() == [0]
    assert state(parts, "mine_now") == [5]
    assert state(parts, "mine_next") == [6]
    assert state(parts, "door_closed") == [4]
    assert state(parts, "switch_unpressed") == [1]
    assert state(parts, "visited") == [0]
    parts = env.step(RIGHT)[0]["graph"]
    assert state(parts, "agent") == np.flatnonzero(parts["focus"]).tolist() == [1]
    assert (state(parts, "mine_now"), state(parts, "mine_next")) == ([6], [5])
    assert (state(parts, "door_closed"), state(parts, "switch_unpressed")) == ([], [])
    assert state(parts, "visited") == [0, 1]
    (_, _, _, info) = walk(env, DOWN)[0]
    assert not info


def test_a_larger_and_a_smaller_level_share_a_batch(tmp_path: Path) -> None:
    file = write_suite(tmp_path / "levels.json", level("SE", ".."), level("S" + "." * 12, "." * 12 + "E"))
    parts = vector(2, level_file=str(file)).reset(seed=0)[0]["graph"]
    assert parts["node_mask"].sum(axis=1).tolist() == [4, 26]
    for b, nodes in enumerate((4, 26)):
        assert parts["edge_index"][b].max() == nodes - 1
