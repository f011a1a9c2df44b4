"""Options of ``rayrl/MineMaze-v0``: levels, observation, reward."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from rayrl.config import Config, InputPath
from rayrl.config.base import nearest
from rayrl.envs.mine_maze.categories import RECIPES

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Weight = Annotated[float, Field(gt=0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Modality = Literal["game_state", "reachability", "player_frame", "global_view", "graph", "action_mask"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
DEFAULT_MIX = {"very_simple": 1.0, "simple": 1.0, "medium": 1.0}
"""Categories that are played, and their weights, where neither a file of levels nor a mix is given."""


class Rewards(Config):
    """What a step earns; what applies is added up."""

    exit: Finite = 1.0
    """Reaching the exit."""
    death: Finite = -0.5
    """Meeting a mine."""
    switch: Finite = 0.1
    """Pressing a switch for the first time in the episode."""
    step: Finite = -0.01
    """Every step."""


class Shaping(Config):
    """Reward for progress that leaves the best policy what it is: gamma * potential(s') - potential(s).

    The potential of a state is ``scale`` * (1 - steps to the exit by the planner / cells of the level), and 0
    where the exit cannot be reached any more, or the episode is over.
    """

    gamma: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Discount of the training, `train.options.gamma`; with another one the best policy may change."""
    scale: Positive = 1.0
    """Potential right beside the exit, about."""


class MineMazeConfig(Config):
    """Keyword arguments of ``gymnasium.make("rayrl/MineMaze-v0")``."""

    categories: dict[str, Weight] | None = Field(default=None, min_length=1)
    """Categories that are played, and how often by weight. Null plays very_simple, simple and medium alike,
    or all that the file of levels has."""
    split: Literal["train", "test", "any"] | None = None
    """Which levels are played: a level is in one of the parts by the hash of what it holds, so that no level
    is in both. Null plays all levels of a file, and where there is none those for training."""
    levels: Count | None = None
    """Levels of each category that episodes draw from; null draws a new one each time."""
    level_file: InputPath | None = None
    """Suite file whose levels are played in the file's order, instead of generated ones: after
    ``reset(seed=s)`` level s modulo their number. `split` takes some of them."""
    sized_for: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Categories whose largest levels fit into the observations, all that are played among them; null takes
    those that are played. Environments with the same have the same spaces."""

    observations: tuple[Modality, ...] = Field(default=MODALITIES, min_length=1)
    """Parts of the observation."""
    wall_nodes: bool = False
    """Whether the graph has a node for each wall between two walkable cells, with BLOCKED edges to both."""

    rewards: Rewards = Rewards()
    shaping: Shaping | None = None
    """Reward for progress; null gives none."""
    max_steps: Count | None = None
    """Steps after which an episode is truncated; null takes twice the cells of the level."""

    @property
    def played_split(self) -> Literal["train", "test", "any"]:
        """``split``, or what null stands for."""
        return self.split or ("train" if self.level_file is None else "any")

    @field_validator("categories", "sized_for")
    @classmethod
    def _known(cls, names: dict[str, float] | tuple[str, ...] | None) -> object:
        for name in names or ():
            if name not in RECIPES:
                raise ValueError(unknown_category(name))
        return names

    @field_validator("level_file")
    @classmethod
    def _one_source(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and info.data.get("levels") is not None:
            raise ValueError(f"the file has its own levels; leave levels = {info.data['levels']} out")
        weights = info.data.get("categories") or {}
        if path is not None and len({*weights.values()}) > 1:
            raise ValueError(
                f"the file's levels are played in its order; give categories = {weights} equal weights"
            )
        return path

    @field_validator("observations")
    @classmethod
    def _each_once(cls, names: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if len(set(names)) < len(names):
            raise ValueError("names a part twice")
        return names


def unknown_category(name: str) -> str:
    """What is wrong with a category's name: the nearest that there is, and all of them."""
    hint = nearest(name, RECIPES)
    every = f"known: {', '.join(RECIPES)}"
    return f"there is no category {name!r}; {every if hint.startswith('known') else f'{hint} ({every})'}"
