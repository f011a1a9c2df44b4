from pathlib import Path

import numpy as np

from rayrl.envs.mine_maze import images
from tests.envs.mine_maze.mazes import RIGHT, playing

FLOOR, WALL = images.GREY_FLOOR, images.GREY_WALL


def test_each_kind_of_cell_has_its_grey(tmp_path: Path) -> None:
    env = playing(tmp_path, "Sa*", "#A.", "..E", "2,0 R")
    view = env.reset(seed=0)[0]["global_view"]
    assert view.shape == (39, 39, 1)
    cells = view[1::3, 1::3, 0]
    np.testing.assert_array_equal(np.kron(cells, np.ones((3, 3), np.uint8)), view[:, :, 0])
    assert cells[:3, :3].tolist() == [
        [images.GREY_AGENT, images.GREY_SWITCH, images.GREY_MINE],
        [WALL, images.GREY_DOOR, FLOOR],
        [images.GREY_MINE, images.GREY_MINE_NEXT, images.GREY_EXIT],
    ]
    assert not cells[3:].any()
    assert not cells[:, 3:].any()
    cells = env.step(RIGHT)[0]["global_view"][1::3, 1::3, 0]
    assert cells[:2, :3].tolist() == [[FLOOR, images.GREY_AGENT, images.GREY_MINE], [WALL, FLOOR, FLOOR]]


def test_the_frame_is_around_the_agent(tmp_path: Path) -> None:
    env = playing(tmp_path, "....S", "#...E")
    frame = env.reset(seed=0)[0]["player_frame"]
    assert frame.shape == (28, 28, 1)
    cells = frame[2::4, 2::4, 0]
    np.testing.assert_array_equal(np.kron(cells, np.ones((4, 4), np.uint8)), frame[:, :, 0])
    assert cells[3].tolist() == [FLOOR, FLOOR, FLOOR, images.GREY_AGENT, 0, 0, 0]
    assert cells[4].tolist() == [FLOOR, FLOOR, FLOOR, images.GREY_EXIT, 0, 0, 0]
    assert not cells[:3].any()
    assert not cells[5:].any()
