"""``rayrl evaluate``: experiments' environments, suites, limits; what it prints, and bad input."""

import json
import sys

import gymnasium as gym
import pytest

from rayrl.cli.main import main
from rayrl.envs.mine_maze.suite import generate_suite
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_folder import save_policy

CONFIG = {"observations": ["game_state"], "categories": {"simple": 1}}
EXPERIMENT = f"""
name: mazes
conditions: [no_pretrain]
env: {{id: rayrl/MineMaze-v0, config: {json.dumps(CONFIG)}}}
evaluate: {{episodes: 3, seed: 5}}
"""


@pytest.fixture
def rayrl(monkeypatch, capsys, tmp_path):
    """Runs the command beside an experiment's file; returns exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maze.yaml").write_text(EXPERIMENT)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rayrl", "evaluate", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", sys.path.copy())
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


@pytest.fixture
def policy(tmp_path):
    env = gym.make("rayrl/MineMaze-v0", **CONFIG)
    network = ActorCriticNetwork(env.observation_space, env.action_space, ModelConfig(fcnet_hiddens=(4,)))
    save_policy(tmp_path / "policy", network, architecture="mlp_baseline", provenance={})
    return tmp_path / "policy"


def write_suite(path, split="test", **counts):
    path.write_text(json.dumps(generate_suite("s", counts, split=split).to_json()))


def test_a_policy_plays_the_environment_of_an_experiment(rayrl, policy):
    code, _, err = rayrl(policy, "--env", "rayrl/MineMaze-v0")
    assert code == 1
    assert "`rayrl evaluate --for FILE` takes that of an experiment" in err
    code, out, err = rayrl(policy, "--for", "maze.yaml", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert (len(result["seeds"]), result["seed"], result["max_steps"]) == (3, 5, None)
    assert result["env"]["config"]["categories"] == {"simple": 1.0}
    assert result["env"]["config"]["split"] == "test"
    assert result["actor"]["deterministic"] is True


def test_options_are_those_of_the_experiments_evaluate(rayrl, policy):
    drawn = ["--stochastic", "--max-steps", 7, "--episode-timeout-s", 60, "--episodes", 2]
    code, out, _ = rayrl(policy, "--for", "maze.yaml", *drawn, "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["max_steps"], result["episode_timeout_s"], len(result["seeds"])) == (7, 60.0, 2)
    assert result["actor"]["deterministic"] is False
    assert max(result["metrics"]["episode_length"]) <= 7


def test_a_suite_has_a_line_for_each_category(rayrl, tmp_path):
    write_suite(tmp_path / "s.levels", very_simple=2, simple=3)
    code, out, err = rayrl("planner", "--for", "maze.yaml", "--suite", "s.levels")
    assert (code, err) == (0, "")
    head, columns, *lines = out.splitlines()
    assert head == "planner on rayrl/MineMaze-v0: 8 episodes, seed 5"
    assert columns.split()[:3] == ["episodes", "success_rate", "95"]
    assert "safety" in columns
    assert [line.split()[:3] for line in lines] == [
        ["as_trained", "3", "1"],
        ["very_simple", "2", "1"],
        ["simple", "3", "1"],
        ["micro", "5", "1"],
        ["macro", "5", "1"],
    ]


def test_levels_that_training_may_play_are_warned_of(rayrl, tmp_path):
    write_suite(tmp_path / "s.json", split="train", simple=2)
    code, out, err = rayrl("planner", "--for", "maze.yaml", "--suite", "s.json")
    assert code == 0
    assert err.startswith(
        "warning: the evaluation plays levels that training may play as well, in simple (2 of"
    )
    assert "warning" not in out


def test_without_success_each_category_has_its_summary(rayrl):
    code, out, _ = rayrl("random", "--env", "rayrl/Router-v0", "--suite", "router_standard", "--episodes", 1)
    assert code == 0
    heads = [line.split(":")[0] for line in out.splitlines() if "random on rayrl/Router-v0: 1 ep" in line]
    assert heads[:3] == ["as_trained", "steady", "bursty"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--env, --for: the environment is not given"),
        (("--env", "CartPole-v1", "--for", "maze.yaml"), "--env, --for: give the environment once"),
        (("--for", "maze.yaml", "--suite", "none.json"), "suite = 'none.json': there is no such file"),
        (("--for", "maze.yaml", "--suite", "router"), "there is no suite and no file 'router'"),
        (("--for", "maze.yaml", "--episode-timeout-s", "-1"), "episode_timeout_s = -1.0"),
        (("--for", "none.yaml"), "none.yaml"),
    ],
)
def test_bad_input(rayrl, arguments, message):
    code, _, err = rayrl("random", *arguments)
    assert code == 1
    assert message in err
