"""Environments on levels that a test writes down."""

import json
from pathlib import Path
from typing import Any

import gymnasium

import rayrl.envs  # noqa: F401  (registers the id)
from rayrl.envs.mine_maze.generator import VERSION
from rayrl.envs.mine_maze.level import Level
from rayrl.envs.mine_maze.suite import ENV_ID, Suite, SuiteLevel

STAY, UP, RIGHT, DOWN, LEFT = range(5)


def level(*content: str, category: str = "complex") -> Level:
    return Level.parse(category, content, where="test")


def write_suite(path: Path, *levels: Level, name: str = "written") -> Path:
    categories: dict[str, tuple[SuiteLevel, ...]] = {}
    for number, each in enumerate(levels):
        entry = SuiteLevel(f"level_{number}", each)
        categories[each.category] = (*categories.get(each.category, ()), entry)
    path.write_text(json.dumps(Suite(name, ENV_ID, VERSION, "any", categories).to_json()))
    return path


def single(**options: Any) -> Any:
    return gymnasium.make(ENV_ID, **options).unwrapped


def vector(num_envs: int, **options: Any) -> Any:
    return gymnasium.make_vec(ENV_ID, num_envs=num_envs, **options).unwrapped


def playing(folder: Path, *content: str, **options: Any) -> Any:
    env = single(level_file=str(write_suite(folder / "levels.json", level(*content))), **options)
    env.reset(seed=0)
    return env


def walk(env: Any, *actions: int) -> list[tuple[float, bool, bool, dict[str, float]]]:
    return [env.step(action)[1:] for action in actions]
