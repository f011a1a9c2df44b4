from pathlib import Path
from typing import Any

import pytest

from rayrl.envs.mine_maze.observation import GAME_STATE, REACHABILITY
from tests.envs.mine_maze.mazes import DOWN, RIGHT, playing

UNIT = 1 / 13
"""A complex level has 13 rows at most."""


def game_state(observation: Any) -> dict[str, float]:
    return dict(zip(GAME_STATE, observation["game_state"].tolist(), strict=True))


def reachability(observation: Any) -> dict[str, float]:
    return dict(zip(REACHABILITY, observation["reachability"].tolist(), strict=True))


def test_the_game_state_by_hand(tmp_path: Path) -> None:
    env = playing(tmp_path, "S.a.", "..#.", "*.AE", "...#", "0,1 D", max_steps=10)
    state = game_state(env.reset(seed=0)[0])
    expected = {
        "row": -1,
        "column": -1,
        "exit_rows": 2 * UNIT,
        "exit_columns": 3 * UNIT,
        "switch_columns": 2 * UNIT,
        "switches_left": 1,
        "mine_distance": UNIT / 2,  # the patrol, one cell to the right
        "time_left": 1,
        "rows": 4 * UNIT,
        "columns": 4 * UNIT,
        "wall_up": 1,
        "wall_left": 1,
        "mine_right": 1,
    }
    assert state == pytest.approx(dict.fromkeys(GAME_STATE, 0.0) | expected)
    observation, *_ = env.step(DOWN)  # to (1, 0), where the patrol is beside it, and the mine below
    state = game_state(observation)
    assert state["time_left"] == pytest.approx(0.9)
    assert [state[f"mine_{side}"] for side in ("up", "right", "down", "left")] == [0, 1, 1, 0]
    assert [state[f"mine_next_{side}"] for side in ("up", "right", "down", "left")] == [0, 0, 1, 0]
    assert [state[f"visited_{side}"] for side in ("up", "right", "down", "left")] == [1, 0, 0, 0]


def test_doors_and_the_next_mine_show(tmp_path: Path) -> None:
    env = playing(tmp_path, "SAE.", "a...", "....", "1,3 LL")
    observation, *_ = env.step(0)
    assert game_state(observation)["door_right"] == 1
    # The patrol is in column 1 after 2 steps, and in column 2 after 3.
    observation, *_ = env.step(DOWN)
    state = game_state(observation)
    assert (state["doors_open"], state["switches_left"], state["mine_right"]) == (1, 0, 1)
    assert state["mine_next_right"] == 0
    env = playing(tmp_path, "S...", "...E", "0,3 LL")
    env.step(0)
    observation, *_ = env.step(0)
    assert game_state(observation)["mine_right"] == 1


def test_where_a_mine_comes_next_is_seen(tmp_path: Path) -> None:
    env = playing(tmp_path, "S....", "....E", "0,1 RR")
    env.step(RIGHT)  # the patrol has gone on to the third cell, then turns
    observation, *_ = env.step(RIGHT)
    state = game_state(observation)
    assert (state["mine_right"], state["mine_next_here"], state["mine_next_right"]) == (1, 1, 0)


def test_reachability_by_hand(tmp_path: Path) -> None:
    # Of 8 walkable cells 4 are left of the door, the switch among them; the exit and a mine are right of it.
    env = playing(tmp_path, "S.#*#", "a.A.E")
    values = reachability(env.reset(seed=0)[0])
    assert values == pytest.approx(
        {
            "cells": 4 / 8,
            "exit": 0,
            "switches": 1,
            "doors": 1,
            "hazards": 0,
            "connectivity": 1 / 2,
            "exit_nearness": 1 - 5 / 26,
            "switch_nearness": 1 - 1 / 26,
        }
    )
    observation, *_ = env.step(DOWN)
    assert reachability(observation) == pytest.approx(
        {
            "cells": 7 / 8,
            "exit": 1,
            "switches": 1,  # none is left to press
            "doors": 1,
            "hazards": 1,
            "connectivity": 1,
            "exit_nearness": 1 - 4 / 26,
            "switch_nearness": 0,
        }
    )
