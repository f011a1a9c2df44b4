from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rayrl.envs.mine_maze.planner import LOST, state_index
from tests.envs.mine_maze.mazes import DOWN, LEFT, RIGHT, STAY, UP, playing, walk


def rewards(outcomes: list[Any]) -> list[float]:
    return [round(outcome[0], 6) for outcome in outcomes]


def test_walls_edges_and_closed_doors_stop_the_agent(tmp_path: Path) -> None:
    env = playing(tmp_path, "S#E", "..A", "a.#", observations=["game_state", "action_mask"])
    assert env.step(STAY)[0]["action_mask"].tolist() == [1, 0, 0, 1, 0]
    walk(env, UP, RIGHT, LEFT)
    assert env.episodes.simulation.episodes["cell"][0] == 0
    walk(env, DOWN, RIGHT)
    assert env.step(RIGHT)[0]["action_mask"].tolist() == [1, 0, 0, 1, 1]
    assert env.episodes.simulation.episodes["cell"][0] == 4


def test_a_switch_opens_its_door_for_good_and_pays_once(tmp_path: Path) -> None:
    env = playing(tmp_path, "aSAE", "....", rewards={"switch": 0.3})
    assert rewards(walk(env, LEFT, RIGHT, LEFT, RIGHT, RIGHT)) == [0.29, -0.01, -0.01, -0.01, -0.01]
    (last,) = walk(env, RIGHT)
    assert last[:3] == (pytest.approx(0.99), True, False)
    assert last[3] == {
        "is_success": 1.0,
        "death": 0.0,
        "death_by_mine": 0.0,
        "death_by_patrol": 0.0,
        "timeout": 0.0,
        "stuck": 0.0,
        "optimal_steps": 4.0,
        "max_steps": 16.0,
    }


def test_a_mine_ends_the_episode(tmp_path: Path) -> None:
    ((reward, terminated, truncated, info),) = walk(playing(tmp_path, "S*E", "..."), RIGHT)
    assert (round(reward, 6), terminated, truncated) == (-0.51, True, False)
    assert (info["death"], info["death_by_mine"], info["death_by_patrol"]) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("patrol", "actions"),
    [
        ("0,2 L", [RIGHT]),  # both come to the same cell
        ("0,1 RR", [STAY, STAY, RIGHT, STAY]),  # it comes to where the agent is
        ("0,2 LD", [DOWN, RIGHT]),  # around a corner
    ],
)
def test_a_patrol_ends_the_episode(tmp_path: Path, patrol: str, actions: list[int]) -> None:
    env = playing(tmp_path, "S...E", ".....", patrol)
    outcomes = walk(env, *actions)
    assert [outcome[1] for outcome in outcomes[:-1]] == [False] * (len(actions) - 1)
    assert outcomes[-1][3].get("death_by_patrol") == 1.0


def test_trading_places_with_a_patrol_is_death(tmp_path: Path) -> None:
    env = playing(tmp_path, "S....", "....E", "0,1 RR")
    # It goes 1, 2, 3, 2, 1: it is followed to 1 and 2, and comes back.
    outcomes = walk(env, RIGHT, RIGHT, RIGHT)
    assert [outcome[1] for outcome in outcomes] == [False, False, True]
    assert outcomes[-1][3]["death_by_patrol"] == 1.0


def test_out_of_steps_is_a_timeout_or_being_stuck(tmp_path: Path) -> None:
    # In the last 2 of 8 steps a new cell is visited, or none is.
    env = playing(tmp_path, "S.......E", ".........", max_steps=8)
    (*_, (reward, terminated, truncated, info)) = walk(env, *[STAY] * 6, RIGHT, RIGHT)
    assert (round(reward, 6), terminated, truncated) == (-0.01, False, True)
    assert (info["timeout"], info["stuck"], info["is_success"]) == (1.0, 0.0, 0.0)
    env.reset(seed=0)
    (*_, last) = walk(env, *[RIGHT] * 6, LEFT, RIGHT)
    assert (last[3]["timeout"], last[3]["stuck"]) == (0.0, 1.0)


def test_steps_are_limited_to_twice_the_cells(tmp_path: Path) -> None:
    env = playing(tmp_path, "S..E", "....")
    outcomes = walk(env, *[STAY] * 16)
    assert [outcome[2] for outcome in outcomes] == [False] * 15 + [True]


SMALL = ("Sa.", ".#*", "..A", "..E", "2,0 R")


def transitions(env: Any) -> dict[tuple[int, int, int], list[tuple[float, Any]]]:
    """Reward and next state (None after the last step) of each action in each state that can be reached."""
    maze = env.episodes.levels[0].maze
    found: dict[tuple[int, int, int], list[tuple[float, Any]]] = {}
    todo = [(int(maze.spawn), 0, 0)]
    blank = env.get_state()
    while todo:
        state = todo.pop()
        if state in found:
            continue
        found[state] = []
        for action in range(5):
            blank["episodes/cell"][0], blank["episodes/doors"][0], blank["episodes/steps"][0] = state
            env.set_state(blank)
            _, reward, terminated, _, _ = env.step(action)
            record = env.episodes.simulation.episodes[0]
            after = (int(record["cell"]), int(record["doors"]), int(record["steps"]) % maze.period)
            found[state].append((reward, None if terminated else after))
            if not terminated:
                todo.append(after)
    return found


def optimum(
    mdp: dict[Any, list[tuple[float, Any]]], gamma: float
) -> tuple[dict[Any, float], dict[Any, set[int]]]:
    values = dict.fromkeys(mdp, 0.0)
    for _ in range(2000):
        returns = {
            state: [reward + gamma * (values[after] if after else 0.0) for reward, after in actions]
            for state, actions in mdp.items()
        }
        values = {state: max(each) for state, each in returns.items()}
    best = {
        state: {action for action, value in enumerate(each) if value > max(each) - 1e-9}
        for state, each in returns.items()
    }
    return values, best


@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_shaping_leaves_the_best_policy_and_changes_values_by_the_potential(
    tmp_path: Path, gamma: float
) -> None:
    plain = playing(tmp_path, *SMALL, max_steps=10_000, observations=["game_state"])
    shaped = playing(
        tmp_path,
        *SMALL,
        max_steps=10_000,
        observations=["game_state"],
        shaping={"gamma": gamma, "scale": 0.7},
    )
    values, best = optimum(transitions(plain), gamma)
    shaped_values, shaped_best = optimum(transitions(shaped), gamma)
    assert len(best) > 20
    assert shaped_best == best
    level = plain.episodes.levels[0]
    for (cell, doors, phase), value in values.items():
        left = level.steps[state_index(level.maze, cell, doors, phase)]
        potential = 0.0 if left == LOST else 0.7 * (1 - left / 12)
        assert shaped_values[cell, doors, phase] == pytest.approx(value - potential, abs=1e-6)


@pytest.mark.parametrize(
    "actions", [[RIGHT, LEFT, STAY, DOWN, DOWN, DOWN, RIGHT, RIGHT], [RIGHT, RIGHT, DOWN], [STAY] * 3]
)
def test_the_potential_telescopes(tmp_path: Path, actions: list[int]) -> None:
    gamma, options = 0.95, {"max_steps": 100, "observations": ["game_state"]}
    plain = walk(playing(tmp_path, *SMALL, **options), *actions)
    shaped_env = playing(tmp_path, *SMALL, shaping={"gamma": gamma}, **options)
    shaped = walk(shaped_env, *actions)
    record, level = shaped_env.episodes.simulation.episodes[0], shaped_env.episodes.levels[0]
    left = level.steps[
        state_index(level.maze, record["cell"], record["doors"], record["steps"] % level.maze.period)
    ]
    # Σ γ^t F_t = γ^T Φ(s_T) - Φ(s_0), with Φ 0 at the end of an episode.
    last = 0.0 if shaped[-1][1] or left == LOST else 1 - left / 12
    discounts = gamma ** np.arange(len(actions))
    difference = sum(discounts * ([step[0] for step in shaped] - np.array([step[0] for step in plain])))
    assert difference == pytest.approx(gamma ** len(actions) * last - (1 - level.optimal_steps / 12))
