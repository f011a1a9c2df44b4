from collections import deque
from typing import Any

import numpy as np
import pytest

from rayrl.envs.mine_maze.categories import RECIPES
from rayrl.envs.mine_maze.generator import generate_level
from rayrl.envs.mine_maze.level import Level
from rayrl.envs.mine_maze.planner import LOST, best_action, state_index
from rayrl.envs.mine_maze.rules import SAFE, moved, outcome, pressed
from tests.envs.mine_maze.mazes import DOWN, RIGHT, STAY, UP, level


def steps_from(made: Level, cell: int, doors: int = 0, phase: int = 0) -> int:
    return int(made.steps[state_index(made.maze, cell, doors, phase)])


def test_steps_on_an_open_floor_are_counted_by_hand() -> None:
    made = level("S..", ".#.", "..E")
    assert [steps_from(made, cell) for cell in range(9)] == [4, 3, 2, 3, LOST, 1, 2, 1, 0]


def test_a_door_costs_the_way_to_its_switch() -> None:
    made = level("S.AE", "a###")
    # Down to the switch, up, and three to the right; with the door open three from the start.
    assert steps_from(made, 0) == 5
    assert steps_from(made, 0, doors=1) == 3


def test_a_still_mine_is_gone_around_and_a_patrol_waited_for() -> None:
    assert level("S*E", "...").optimal_steps == 4
    # The patrol is in row 0 at even times and below at odd ones: step 1 passes it, step 2 leaves before it.
    assert level("S.E", "#.#", "0,1 D").optimal_steps == 2
    # Here it is below at even times, and back at odd ones: one step is waited.
    assert level("S.E", "#.#", "1,1 U").optimal_steps == 3


def test_trading_places_with_a_patrol_is_death() -> None:
    made = level("S...E", "##.##", "0,2 L")
    # Its cells are 2 and 1, in turn. From cell 0 at time 0 it comes to 1 as the agent would.
    for phase in range(2):
        target = moved(made.maze, 0, 0, RIGHT)
        assert target == 1
        ends = outcome(made.maze, 0, 1, phase)
        assert (ends == SAFE) == (phase == 1)
    # From 1 to 2 while it goes from 2 to 1.
    assert outcome(made.maze, 1, 2, 0) != SAFE
    assert made.optimal_steps == LOST


def test_nothing_is_left_of_a_way_that_a_mine_closes() -> None:
    made = level("S*E", "#*#")
    assert made.optimal_steps == LOST
    assert best_action(made.maze, made.steps, 0, 0, 0) == STAY


def test_of_equally_short_ways_the_first_is_taken() -> None:
    made = level("...", "S..", "..E")
    assert best_action(made.maze, made.steps, 3, 0, 0) == RIGHT
    assert best_action(made.maze, made.steps, 5, 0, 0) == DOWN
    assert best_action(level("..E", "S..").maze, level("..E", "S..").steps, 3, 0, 0) == UP


def forward(made: Level) -> dict[tuple[int, int, int], int]:
    """Steps to the exit by searching forwards from each state that can be reached: the slow way."""
    maze, edges, start = made.maze, {}, (made.maze.spawn, 0, 0)
    todo = deque([start])
    while todo:
        state = todo.popleft()
        if state in edges or state[0] == maze.exit:
            continue
        cell, doors, phase = state
        edges[state] = []
        for action in range(5):
            target = moved(maze, cell, doors, action)
            if outcome(maze, cell, target, phase) == SAFE:
                after = (target, int(pressed(maze, target, doors)), (phase + 1) % maze.period)
                edges[state].append(after)
                todo.append(after)
    steps: dict[Any, int] = {}
    changed = True
    while changed:
        changed = False
        for state, successors in edges.items():
            found = [
                1 if s[0] == maze.exit else 1 + steps[s]
                for s in successors
                if s[0] == maze.exit or s in steps
            ]
            if found and min(found) < steps.get(state, 10**9):
                steps[state], changed = min(found), True
    return {state: steps.get(state, LOST) for state in edges}


@pytest.mark.parametrize("category", RECIPES)
def test_the_search_backwards_finds_what_one_forwards_does(category: str) -> None:
    for seed in range(2):
        made = generate_level(category, seed)
        for (cell, doors, phase), steps in forward(made).items():
            assert steps_from(made, cell, doors, phase) == steps
            action = best_action(made.maze, made.steps, cell, doors, phase)
            target = moved(made.maze, cell, doors, action)
            assert (target == cell) == (action == STAY)
            if steps > 0 and target != made.maze.exit:
                after = steps_from(
                    made, target, pressed(made.maze, target, doors), (phase + 1) % made.maze.period
                )
                assert after == steps - 1


def test_the_table_covers_every_state() -> None:
    made = generate_level("complex", 3)
    assert made.steps.shape == (2**made.maze.doors * made.maze.period * len(made.maze.kinds),)
    assert np.isin(made.steps[: len(made.maze.kinds)][made.maze.kinds == 1], LOST).all()
