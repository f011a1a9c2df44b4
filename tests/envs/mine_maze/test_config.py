from pathlib import Path
from typing import Any

import pytest

from rayrl.envs.mine_maze.config import MineMazeConfig
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError
from tests.envs.mine_maze.mazes import level, single, write_suite

KNOWN = "very_simple, simple, medium, complex, mine_heavy, exploration"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"categories": {"simpel": 1}},
            f"there is no category 'simpel'; did you mean 'simple'? (known: {KNOWN})",
        ),
        ({"categories": {"x": 1}}, f"there is no category 'x'; known: {KNOWN}"),
        ({"categories": {}}, "categories"),
        ({"categories": {"simple": 0}}, "categories.simple = 0"),
        ({"sized_for": ["hard"]}, "there is no category 'hard'"),
        ({"split": "eval"}, "split = 'eval'"),
        ({"levels": 0}, "levels = 0"),
        ({"level_file": "/nowhere.json"}, "there is no such file or folder: /nowhere.json"),
        ({"observations": ["graph", "graph"]}, "names a part twice"),
        ({"observations": ["frame"]}, "'player_frame'"),
        ({"observations": []}, "observations = []"),
        ({"rewards": {"win": 1}}, "rewards.win: unknown key"),
        ({"shaping": {"gamma": 1.1}}, "shaping.gamma = 1.1"),
        ({"max_steps": 2**70}, "max_steps = 1180591620717411303424: Input should be less than or equal to"),
        ({"levels": 10**10}, "levels = 10000000000"),
        ({"categories": {"simple": 1e308}}, "categories.simple = 1e+308"),
        ({"max_step": 10}, "did you mean 'max_steps'?"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        EnvSpec.parse({"id": "rayrl/MineMaze-v0", "config": options}, where="env")
    assert message in str(error.value)


def test_a_file_has_its_own_levels(tmp_path: Path) -> None:
    file = str(write_suite(tmp_path / "levels.json", level("SE", "..")))
    with pytest.raises(ConfigError, match="the file has its own levels; leave levels = 5 out"):
        MineMazeConfig.parse({"level_file": file, "levels": 5}, where="test")
    weights = {"simple": 1, "complex": 2}
    with pytest.raises(ConfigError, match=r"played in its order; give categories = .* equal weights"):
        MineMazeConfig.parse({"level_file": file, "categories": weights}, where="test")
    with pytest.raises(ConfigError, match=r"categories\.simple: .* has no such levels\n  it has complex"):
        single(level_file=file, categories={"simple": 1})
    with pytest.raises(ConfigError, match="has room for 9 rows and 1 doors, and complex need 13 and 3"):
        single(level_file=file, sized_for=["simple"])
