"""Which options of an environment are checked with the experiment file, and how their paths are read."""

import pytest

from rayrl.config import Config, InputPath, read_document
from rayrl.envs import spec
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError


class MazeOptions(Config):
    size: int = 5
    level: InputPath | None = None


class Holder(Config):
    env: EnvSpec


@pytest.fixture(autouse=True)
def _maze(monkeypatch):
    monkeypatch.setitem(spec._OPTIONS, "test/Maze-v0", f"{__name__}:MazeOptions")


@pytest.fixture
def read(tmp_path):
    def read(text: str) -> EnvSpec:
        file = tmp_path / "experiment.yaml"
        file.write_text(text)
        return read_document(file).parse(Holder).env

    return read


def test_options_of_a_known_environment_are_completed_and_their_paths_start_at_the_file(read, tmp_path):
    (tmp_path / "level.txt").touch()
    found = read("env: {id: test/Maze-v0, config: {level: level.txt}}")
    assert found.config == {"size": 5, "level": tmp_path / "level.txt"}
    assert read("env: {id: test/Maze-v0}").config == {"size": 5, "level": None}


def test_a_wrong_option_is_named_with_its_line(read, tmp_path):
    with pytest.raises(ConfigError) as caught:
        read("env:\n  id: test/Maze-v0\n  config:\n    size: [5]\n    level: none.txt\n    levle: x\n")
    assert caught.value.message.splitlines() == [
        "line 4: env.config.size = [5]: Input should be a valid integer",
        "line 5: env.config.level = 'none.txt': there is no such file or folder: "
        + str(tmp_path / "none.txt"),
        "line 6: env.config.levle: unknown key; did you mean 'level'?",
    ]


def test_options_of_other_environments_are_left_to_them(read):
    assert read("env: {id: CartPole-v1, config: {anything: [1, x]}}").config == {"anything": [1, "x"]}


def test_every_options_model_exists():
    for target in spec._OPTIONS.values():
        module, name = target.split(":")
        assert issubclass(getattr(__import__(module, fromlist=[name]), name), Config)
