"""The evaluate stage: who has played already does not play again."""

import json

import gymnasium as gym
import pytest
import torch
from run_fixtures import prepare_run

from rayrl.evaluation.result import load_result
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.evaluate_stage import run
from rayrl.pipeline.stages import StageUnit, stage_kind

ROUTER = {"replicas": 2, "requests": 16, "pending_requests": 0}


@pytest.fixture
def evaluated(tmp_path):
    """Runs the stage with some options of ``evaluate``; gives the run folder's path."""

    def stage(*, seeds=(0, 1), **evaluate):
        values = {
            "name": "two",
            "seeds": list(seeds),
            "env": {"id": "rayrl/Router-v0", "config": ROUTER},
            "conditions": ["no_pretrain"],
            "evaluate": {"episodes": 3} | evaluate,
        }
        folder = prepare_run(tmp_path / "run", values)
        for seed in seeds:
            if not policy(tmp_path, seed).exists():
                write_policy(tmp_path, seed, weights=seed)
        context = StageContext(folder.experiment(), folder, StageUnit(stage_kind("evaluate")), local=True)
        assert run(context) is not None
        return folder.path

    return stage


def home(tmp_path, seed):
    return tmp_path / "run" / "mlp_baseline" / "no_pretrain" / f"seed_{seed}"


def policy(tmp_path, seed):
    return home(tmp_path, seed) / "policy"


def write_policy(tmp_path, seed, *, weights):
    env = gym.make("rayrl/Router-v0", **ROUTER)
    torch.manual_seed(weights)
    network = ActorCriticNetwork(env.observation_space, env.action_space, ModelConfig(fcnet_hiddens=(4,)))
    provenance = {"seed": seed, "step": 0}
    save_policy(policy(tmp_path, seed), network, architecture="mlp_baseline", provenance=provenance)


def times(path):
    files = [*path.rglob("eval_results.json"), *path.glob("evaluate/demonstrators/*.json")]
    return {file.relative_to(path).as_posix(): file.stat().st_mtime_ns for file in files}


def test_one_more_seed_adds_its_own_evaluation_only(evaluated):
    before = times(evaluated(seeds=(0,)))
    after = times(evaluated(seeds=(0, 1)))
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"mlp_baseline/no_pretrain/seed_1/eval_results.json"}


def test_another_policy_plays_and_the_others_do_not(evaluated, tmp_path):
    path = evaluated()
    before = times(path)
    write_policy(tmp_path, 1, weights=7)
    evaluated()
    changed = {name for name, when in times(path).items() if when != before[name]}
    assert changed == {"mlp_baseline/no_pretrain/seed_1/eval_results.json"}


@pytest.mark.parametrize(
    "changes", [{"episodes": 4}, {"seed": 5}, {"categories": {"calm": {"target_load": 0.1}}}]
)
def test_all_play_again_in_other_episodes(evaluated, changes):
    path = evaluated()
    before = times(path)
    after = times(evaluated(**changes))
    assert all(after[name] != when for name, when in before.items())


def test_a_damaged_result_is_played_again(evaluated, tmp_path):
    path = evaluated()
    file = home(tmp_path, 0) / "eval_results.json"
    whole = load_result(file)
    file.write_text("{")
    evaluated()
    assert load_result(file) == whole
    assert path.exists()


def test_all_results_have_each_category(evaluated):
    path = evaluated(suite="router_standard", episodes=2)
    results = json.loads((path / "all_results.json").read_text())
    assert {"mlp_baseline-no_pretrain-seed_0", "random", "least_outstanding"} < results.keys()
    random = results["random"]
    assert list(random["categories"])[:3] == ["as_trained", "steady", "bursty"]
    assert random["categories"]["as_trained"]["episode_return"] == random["episode_return"]
