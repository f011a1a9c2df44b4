"""`rayrl init`: what it writes runs as it is, and says what it saw."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rayrl.envs.mine_maze.config import MineMazeConfig
from rayrl.errors import EnvError, RunError, SpaceError
from rayrl.pipeline.draft import draft_name, write_draft
from rayrl.pipeline.experiment import Experiment, load_experiment
from rayrl.pipeline.preflight import check_algorithm


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.fixture
def draft(tmp_path):
    def write(env_id: str) -> tuple[Experiment, str]:
        file = write_draft(env_id, tmp_path / "experiment.yaml")
        experiment = load_experiment(file)
        check_algorithm(experiment)
        return experiment, file.read_text()

    return write


@pytest.mark.parametrize(
    ("env_id", "name"),
    [
        ("CartPole-v1", "cartpole"),
        ("rayrl/Router-v0", "router"),
        ("my_module:Some Env", "some-env"),
        ("package:ALE/Pong-v5", "pong"),
        ("-v1", "experiment"),
    ],
)
def test_names(env_id, name):
    assert draft_name(env_id) == name


def test_an_id_of_gymnasium(draft):
    experiment, text = draft("CartPole-v1")
    assert (experiment.name, experiment.conditions) == ("cartpole", ("no_pretrain",))
    assert "# observes Box(4,) float32\n# acts in Discrete(2)\n# episodes are cut after 500 steps\n" in text
    assert "  #   sutton_barto_reward: false\n" in text
    assert "a step takes" not in text


def test_an_environment_with_demonstrators_and_options_of_its_own(draft):
    experiment, text = draft("rayrl/Router-v0")
    assert experiment.conditions == ("no_pretrain", "with_pretrain")
    assert set(experiment.collect.demonstrators) == {"round_robin", "least_outstanding", "join_shortest_work"}
    assert experiment.evaluate.suite == "router_standard"
    assert "  #   requests: 512  # Decisions in an episode.\n" in text
    assert "a step takes" not in text, "the first step compiles, and does not count"


def test_what_is_commented_out_are_the_defaults(draft):
    _, text = draft("rayrl/Router-v0")
    within = {}
    for line in text.splitlines():
        if line and line[0].isalpha():
            section = line.split(":")[0]
        elif re.match(r"  # [a-z_]+: ", line) and section != "env":
            within.setdefault(section, []).append(line[4:])
    found = {section: yaml.safe_load("\n".join(lines)) for section, lines in within.items()}
    assert set(found) == {"collect", "pretrain", "train", "evaluate"}
    minimal = Experiment.parse({"name": "a", "env": {"id": "b"}, "conditions": ["no_pretrain"]}, where="")
    defaults = minimal.to_json()
    for section, options in found.items():
        for name, value in options.items():
            assert defaults[section][name] == value, (section, name)


def test_images_and_continuous_actions(draft):
    experiment, text = draft("drafted_envs:Views")
    assert (
        "# observes Dict(camera: Box(16, 16, 3) uint8 in [0, 255], speed: Box(1,) float32 in [-1, 1])" in text
    )
    assert '  #   gain: 0.5\n  #   name: "a b"\n' in text
    assert "render_mode" not in text
    assert experiment.train.options["model_config"] == {"conv_filters": [[16, 4, 2], [32, 3, 2]]}
    assert experiment.train.options["normalize_rewards"] is True


def test_architectures_that_read_graphs_can_be_added_to_the_mine_mazes(draft, tmp_path):
    experiment, _ = draft("rayrl/MineMaze-v0")
    assert "model_config" not in experiment.train.options
    check_algorithm(load_experiment(tmp_path / "experiment.yaml", ["architectures=[mlp_baseline, gcn]"]))


def test_sections_of_an_environments_options_are_listed_with_their_defaults(draft):
    _, text = draft("rayrl/MineMaze-v0")
    start = text.index("  #   rewards:\n")
    listed = text[start : text.index("\n\n", start)]
    values = yaml.safe_load(re.sub("^  #   ", "", listed, flags=re.MULTILINE))
    assert values["rewards"] == MineMazeConfig().rewards.model_dump()
    assert "  #     exit: 1.0  # Reaching the exit.\n" in listed


def test_an_environment_that_raises_now_and_then(draft):
    _, text = draft("drafted_envs:Faulty")
    assert "it raised ConnectionError: the simulator hung up when it was tried" in text
    assert "max_env_failures" in text


def test_an_environment_that_is_slow(draft):
    _, text = draft("drafted_envs:Slow")
    (line,) = [line for line in text.splitlines() if "a step takes" in line]
    assert float(line.split("a step takes ")[1].split(" ms")[0]) >= 20


@pytest.mark.parametrize(
    ("env_id", "error", "message"),
    [
        ("CartPol-v1", EnvError, "did you mean 'CartPole-v1'"),
        ("no_module:Env", EnvError, "module 'no_module' cannot be imported"),
        ("drafted_envs:NoSuch", EnvError, "env drafted_envs:NoSuch: module 'drafted_envs' has no 'NoSuch'"),
        ("drafted_envs:Sloww", EnvError, "did you mean 'Slow'?"),
        ("drafted_envs:NeverStarts", EnvError, "raised FileNotFoundError in reset: level.map"),
        ("drafted_envs:Greedy", EnvError, "missing 1 required positional argument: 'level'"),
        ("drafted_envs:Pair", SpaceError, "no action distribution for Tuple"),
        ("Blackjack-v1", SpaceError, "no network here reads Tuple"),
    ],
)
def test_what_cannot_be_trained_on_is_one_error_and_leaves_no_file(tmp_path, env_id, error, message):
    with pytest.raises(error) as caught:
        write_draft(env_id, tmp_path / "experiment.yaml")
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    with pytest.raises(RunError, match="there is such a file already"):
        write_draft("CartPole-v1", file)
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_a_draft_runs_to_its_report(tmp_path):
    command = [sys.executable, "-m", "rayrl.cli.main"]
    shutil.copy(Path(__file__).parent / "drafted_envs.py", tmp_path)

    def rayrl(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    rayrl("init", "--env", "drafted_envs:Views")
    printed = rayrl("run", "views.yaml", "--smoke", "--local")
    assert (tmp_path / printed.splitlines()[-1]).name == "report.html"
