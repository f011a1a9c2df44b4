"""The code of quickstart and guides does what the pages say, written down as a reader would."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rayrl
from rayrl.comparison.options import Weights
from rayrl.comparison.seeds import check_seeds
from rayrl.envs.spec import EnvSpec
from rayrl.evaluation.comparison import paired_difference
from rayrl.models import architectures
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import MLPBaseline
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.preflight import (
    check_algorithm,
    check_demonstrators,
    check_environment,
    check_pretraining,
)
from rayrl.pipeline.stages import plan
from rayrl.pipeline.trial_config import build_config
from rayrl.pipeline.trial_spec import trials_of
from tests.models.level_observations import graph_space

DOCS = Path(__file__).parents[1] / "docs"
ARCHITECTURES = DOCS / "guides" / "architectures.md"
FILE = re.compile(r"^```\w+\n# ([\w.]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes the files of a guide into the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(guide: str) -> Path:
        for name, text in FILE.findall((DOCS / "guides" / guide).read_text()):
            (tmp_path / name).write_text(text)
            monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
        return tmp_path

    return write


def test_the_guides_comparison_has_seeds_and_weights(written):
    written("comparing.md")
    experiment = load_experiment(Path("compare.yaml"))
    assert check_seeds(experiment.seeds, where="compare.yaml") is None
    weights = experiment.compare.weights
    assert (weights.latency, weights.wall_time, weights.success) == (2, 0, 4)
    check_algorithm(experiment)
    check_demonstrators(experiment)


def test_the_guides_table_of_criteria_has_the_default_weights():
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d.]+) \|", (DOCS / "guides" / "comparing.md").read_text(), re.MULTILINE
    )
    assert {name: float(weight) for name, weight in rows} == Weights().model_dump()


@pytest.mark.filterwarnings("ignore:.*A Box observation space:UserWarning")
def test_the_guides_environment_is_one_and_can_be_resumed(written):
    written("environments.md")
    experiment = load_experiment(Path("floor.yaml"))
    assert check_environment(experiment).action == gymnasium.spaces.Discrete(4)
    assert [unit.name for unit in plan(experiment)][:2] == ["collect", "pretrain-mlp_baseline"]
    floor = sys.modules["floor"].Floor(**experiment.env.config)
    check_env(floor, skip_render_check=True)
    floor.reset(seed=3)
    floor.step(1)
    state = floor.get_state()
    after = [floor.step(action)[:4] for action in (0, 0)]
    floor.reset(seed=4)
    floor.set_state(state)
    for (seen, *rest), action in zip(after, (0, 0), strict=True):
        again, *others = floor.step(action)[:4]
        assert rest == others
        assert all(np.array_equal(seen[name], again[name]) for name in seen)


def test_the_guides_demonstrator_teaches_something(written):
    written("environments.md")
    spec = EnvSpec(id="floor:Floor")
    careful, random = (rayrl.evaluate(name, spec, episodes=40) for name in ("careful", "random"))
    assert paired_difference(careful, random).low > 0
    assert careful.summary()["episode_success"].mean > 0.5
    dataset = rayrl.collect("floor:Floor", "demos", demonstrators="careful", steps=64)
    assert dataset.num_steps == 64


@pytest.mark.slow
@pytest.mark.xdist_group("learning")
def test_the_guides_experiment_runs_to_its_report(written):
    folder = written("environments.md")
    command = [sys.executable, "-m", "rayrl.cli.main", "run", "floor.yaml", "--smoke", "--local"]
    printed = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert Path(printed.splitlines()[-1]).name == "report.html"


def test_the_guides_architectures_can_be_compared(written, monkeypatch):
    folder = written("architectures.md")
    monkeypatch.setattr(architectures, "_ARCHITECTURES", dict(architectures._ARCHITECTURES))
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    about = folder / f"{project['name']}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nets\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))
    compared = load_experiment(Path("compared.yaml"))
    check_environment(compared)
    check_algorithm(compared)
    assert set(compared.architectures) <= set(architectures.names())
    assert architectures.architecture("small")().fcnet_hiddens == (32,)
    roads = importlib.import_module("several").Roads()
    space = gymnasium.spaces.Dict(roads=graph_space(9, 20), traffic=gymnasium.spaces.Box(0, 1, (3,)))
    assert ActorCriticNetwork(space, gymnasium.spaces.Discrete(2), roads).encoder.output_size == 512
    for file in ("plain.yaml", "remembers.yaml", "levels.yaml"):
        experiment = load_experiment(Path(file))
        check_environment(experiment)
        check_algorithm(experiment)


def test_the_guides_loop_plays_an_episode_with_and_without_memory(tmp_path):
    (code,) = re.findall(
        r"^```python\n(import gymnasium.*?)^```$", ARCHITECTURES.read_text(), re.DOTALL | re.MULTILINE
    )
    names: dict = {}
    exec(code, names)
    env = gymnasium.make("CartPole-v1")
    for name in ("mlp_baseline", "gru"):
        options = architectures.architecture(name)()
        network = ActorCriticNetwork(env.observation_space, env.action_space, options)
        save_policy(tmp_path / name, network, architecture=name, provenance={})
        assert names["play"](str(tmp_path / name), env) >= 8


def test_the_guides_policy_is_held(written):
    written("warm_start.md")
    experiment = load_experiment(Path("held.yaml"))
    check_algorithm(experiment)
    warm = next(spec for spec in trials_of(experiment) if spec.condition == "with_pretrain")
    config = build_config(experiment, warm, run_name="", gpus=0)
    config.validate()
    assert config.kl_ref.decay_steps == 50_000
    assert config.critic_warmup_updates == 5


def test_the_quickstarts_policy_is_used(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```$", (DOCS / "quickstart.md").read_text(), re.DOTALL | re.M)
    (folder,) = re.findall(r'load_policy\("([^"]+)"\)', code)
    env = gymnasium.make("CartPole-v1")
    network = ActorCriticNetwork(env.observation_space, env.action_space, MLPBaseline())
    save_policy(Path(folder), network, architecture="mlp_baseline", provenance={})
    exec(compile(code, "quickstart.md", "exec"), {})
    assert "mean=" in capsys.readouterr().out


def test_the_guides_demonstrations_can_be_collected_and_cloned(written):
    folder = written("demonstrations.md")
    env = gymnasium.make("CartPole-v1")
    network = ActorCriticNetwork(env.observation_space, env.action_space, MLPBaseline())
    save_policy(folder / "policies" / "teacher", network, architecture="mlp_baseline", provenance={})
    for file in ("taught.yaml", "by_policy.yaml", "own_scenario.yaml"):
        experiment = load_experiment(Path(file))
        check_demonstrators(experiment)
        check_pretraining(experiment)
    assert load_experiment(Path("own_scenario.yaml")).collect.scenario_shares == {
        "as_trained": pytest.approx(0.6),
        "lost_replica": 0.2,
        "long_prompts": 0.2,
    }


def test_the_code_of_the_guide_to_demonstrations_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "guides" / "demonstrations.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.M)
    exec(compile(code, "demonstrations.md", "exec"), {})


@pytest.mark.slow
@pytest.mark.xdist_group("learning")
def test_the_guides_warm_start_runs_to_its_report(written):
    folder = written("demonstrations.md")
    command = [sys.executable, "-m", "rayrl.cli.main", "run", "taught.yaml", "--smoke", "--local"]
    small = ["--set", "env.config.requests=64"]
    printed = subprocess.run(
        [*command, *small], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert "Demonstrated actions" in Path(printed.splitlines()[-1]).read_text()


@pytest.mark.xdist_group("learning")
def test_the_replay_guide_leads_from_a_run_to_fragments(written):
    folder = written("replay.md")
    command = Path(sys.executable).parent / "rayrl"
    subprocess.run([command, "run", "cart.yaml", "--run-dir", "runs/cart", "--local"], check=True, cwd=folder)
    look = [sys.executable, "look.py"]
    printed = subprocess.run(look, check=True, cwd=folder, stdout=subprocess.PIPE, text=True).stdout
    assert "torch.Size([32, 8, 4]) torch.Size([32, 8]) torch.Size([32, 8]) torch.Size([32, 8])" in printed
    # Every step of CartPole is rewarded by 1.
    assert printed.splitlines()[-1].endswith("tensor(2048.)")
