"""The evaluate stage: who has played already does not play again."""

import json

import gymnasium as gym
import pytest
import torch
from run_fixtures import prepare_run

from rayrl.envs.mine_maze.suite import generate_suite
from rayrl.errors import EnvError
from rayrl.evaluation.environment import episode_seed
from rayrl.evaluation.in_categories import evaluate_in_categories
from rayrl.evaluation.latency import LATENCY_FILE, load_latency
from rayrl.evaluation.result import load_result
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline import evaluation_plan
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.evaluate_stage import run
from rayrl.pipeline.preflight import check_evaluation
from rayrl.pipeline.stages import StageUnit, stage_kind
from rayrl.report.run_reader import read_run
from rayrl.report.sections.warnings import warnings_of
from rayrl.storage.manifest import write_manifest
from tests.evaluation.hazard import Hazard

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
            "evaluate": {"episodes": 3, "latency": False} | evaluate,
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


def test_latency_is_among_what_the_report_builds_on(tmp_path):
    report_inputs = []
    for latency in (False, True, True):
        values = {
            "name": "two",
            "seeds": [0],
            "env": {"id": "rayrl/Router-v0", "config": ROUTER},
            "conditions": ["no_pretrain"],
            "evaluate": {"episodes": 3, "latency": latency},
        }
        folder = prepare_run(tmp_path / "run", values)
        if not policy(tmp_path, 0).exists():
            write_policy(tmp_path, 0, weights=0)
        unit = StageUnit(stage_kind("evaluate"))
        outputs = run(StageContext(folder.experiment(), folder, unit, local=True))
        assert (home(tmp_path, 0) / LATENCY_FILE in outputs.files) == latency
        names = [file.relative_to(folder.path).as_posix() for file in outputs.files]
        report_inputs.append(
            write_manifest(folder.path, name="evaluate", inputs={}, options={}, outputs=names).outputs_sha256
        )
    assert report_inputs[0] != report_inputs[1]
    assert report_inputs[1] == report_inputs[2]


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


def test_drawn_actions_are_kept_beside_the_most_likely_ones(evaluated, tmp_path):
    path = evaluated(seeds=(0,), stochastic=True)
    likely, drawn = (
        load_result(home(tmp_path, 0) / f"eval_results{which}.json") for which in ("", "_stochastic")
    )
    assert (likely.actor.deterministic, drawn.actor.deterministic) == (True, False)
    assert likely.seeds == drawn.seeds
    assert likely.metrics["episode_return"] != drawn.metrics["episode_return"]
    assert not list(path.glob("evaluate/demonstrators/*_stochastic.json"))
    results = json.loads((path / "all_results.json").read_text())["mlp_baseline-no_pretrain-seed_0"]
    assert results["stochastic"]["episode_return"]["n"] == 3
    before = times(path)
    assert times(evaluated(seeds=(0,), stochastic=True)) == before


def test_one_policy_of_a_kind_is_timed_and_only_once(evaluated, tmp_path):
    evaluated(latency=True)
    file = home(tmp_path, 0) / LATENCY_FILE
    latency = load_latency(file)
    assert not (home(tmp_path, 1) / LATENCY_FILE).exists()
    assert [each.batch for each in latency.batches] == [1, 64]
    evaluated(latency=True)
    assert load_latency(file) == latency
    write_policy(tmp_path, 0, weights=8)
    evaluated(latency=True)
    assert load_latency(file).weights_sha256 != latency.weights_sha256


@pytest.mark.parametrize("parts", [16, 32])
def test_however_it_is_cut_the_results_are_the_same(evaluated, tmp_path, monkeypatch, parts):
    evaluated(seeds=(0,), episodes=40, stochastic=True)
    files = sorted((tmp_path / "run").rglob("eval_results*.json"))
    files += sorted((tmp_path / "run").glob("evaluate/demonstrators/*.json"))
    whole = [load_result(file) for file in files]
    for file in files:
        file.unlink()
    monkeypatch.setattr(evaluation_plan, "PART_EPISODES", parts)
    evaluated(seeds=(0,), episodes=40, stochastic=True)
    assert [load_result(file) for file in files] == whole


HAZARD = {"id": "tests.evaluation.hazard:Hazard"}


@pytest.fixture
def hazards(tmp_path):
    """Runs the stage on corridors whose seeds follow from the evaluation's; gives random actions' result."""

    def stage(*, local=True, **evaluate):
        values = {
            "name": "hazards",
            "seeds": [0],
            "env": HAZARD,
            "conditions": ["no_pretrain"],
            "evaluate": {"latency": False} | evaluate,
        }
        folder = prepare_run(tmp_path / "run", values)
        env = Hazard()
        torch.manual_seed(0)
        network = ActorCriticNetwork(env.observation_space, env.action_space, ModelConfig(fcnet_hiddens=(4,)))
        save_policy(policy(tmp_path, 0), network, architecture="mlp_baseline", provenance={"step": 0})
        context = StageContext(folder.experiment(), folder, StageUnit(stage_kind("evaluate")), local=local)
        assert run(context) is not None
        return folder.path

    return stage


def test_an_episode_that_raises_is_an_error_and_the_others_go_on(hazards):
    path = hazards(episodes=40, max_steps=12)
    result = load_result(path / "evaluate" / "demonstrators" / "random.json")
    kinds = [seed % 5 for seed in result.seeds]
    assert result.metrics["error"] == tuple(float(kind == 4) for kind in kinds)
    assert 0 < sum(result.metrics["error"]) < 20
    assert result.metrics["timeout"][kinds.index(3)] == 1.0
    levels = json.loads((path / "all_results.json").read_text())["random"]["levels"]
    assert levels["micro"]["failed_by_error"]["value"] == pytest.approx(kinds.count(4) / 40)
    assert levels["micro"]["success_rate"]["value"] < 0.5


def test_where_most_episodes_raise_the_stage_fails(hazards):
    seed = next(s for s in range(200) if sum(episode_seed(s, i) % 5 == 4 for i in range(4)) > 2)
    with pytest.raises(EnvError, match="of 4 episodes of the evaluation raised"):
        hazards(episodes=4, seed=seed, max_steps=12)


def test_tasks_find_what_this_process_does(hazards, ray_cluster):
    path = hazards(episodes=70, max_steps=12)
    files = [*path.rglob("eval_results.json"), *path.glob("evaluate/demonstrators/*.json")]
    here = [load_result(file) for file in files]
    for file in files:
        file.unlink()
    hazards(local=False, episodes=70, max_steps=12, latency=True)
    assert [load_result(file) for file in files] == here
    assert next(path.rglob(LATENCY_FILE))


def test_a_suite_of_levels_is_copied_and_each_level_has_its_result(tmp_path):
    suite = generate_suite("small", {"very_simple": 3, "simple": 2})
    (tmp_path / "small.json").write_text(json.dumps(suite.to_json()))
    maze = {"observations": ["game_state", "action_mask"], "categories": {"simple": 1}}
    values = {
        "name": "mazes",
        "seeds": [0],
        "env": {"id": "rayrl/MineMaze-v0", "config": maze},
        "conditions": ["no_pretrain"],
        "evaluate": {"suite": "small.json", "episodes": 4, "latency": False},
    }
    folder = prepare_run(tmp_path / "run", values)
    copied = folder.experiment().evaluate.suite
    assert copied.is_relative_to(folder.path / "inputs")
    env = gym.make("rayrl/MineMaze-v0", **maze)
    network = ActorCriticNetwork(env.observation_space, env.action_space, ModelConfig(fcnet_hiddens=(4,)))
    save_policy(policy(tmp_path, 0), network, architecture="mlp_baseline", provenance={"step": 0})
    check_evaluation(folder.experiment())
    context = StageContext(folder.experiment(), folder, StageUnit(stage_kind("evaluate")), local=True)
    assert run(context) is not None
    planner = load_result(folder.path / "evaluate" / "demonstrators" / "planner.json")
    assert planner.category == ("as_trained",) * 4 + ("very_simple",) * 3 + ("simple",) * 2
    assert planner.levels == (None,) * 4 + tuple(level.id for level in suite.levels)
    experiment = folder.experiment()
    assert evaluate_in_categories("planner", experiment.env, experiment.evaluate) == planner
    assert planner.seeds[4:] == (0, 1, 2, 0, 1)
    assert planner.metrics["episode_success"] == (1.0,) * 9
    steps = tuple(float(level.level.optimal_steps) for level in suite.levels)
    assert planner.metrics["episode_length"][4:] == planner.metrics["optimal_steps"][4:] == steps
    found = json.loads((folder.path / "all_results.json").read_text())["planner"]["levels"]
    assert found["macro"]["spl"]["value"] == found["macro"]["success_rate"]["value"] == 1.0
    assert found["categories"]["simple"]["efficiency"]["value"] > 0


def test_levels_that_training_may_play_are_warned_of_before_the_run_and_in_its_report(tmp_path, caplog):
    suite = generate_suite("seen", {"simple": 2}, split="train")
    (tmp_path / "seen.json").write_text(json.dumps(suite.to_json()))
    maze = {"observations": ["game_state"], "categories": {"simple": 1}}
    values = {
        "name": "mazes",
        "seeds": [0],
        "env": {"id": "rayrl/MineMaze-v0", "config": maze},
        "conditions": ["no_pretrain"],
        "evaluate": {"suite": "seen.json", "episodes": 1, "latency": False},
    }
    folder = prepare_run(tmp_path / "run", values)
    env = gym.make("rayrl/MineMaze-v0", **maze)
    network = ActorCriticNetwork(env.observation_space, env.action_space, ModelConfig(fcnet_hiddens=(4,)))
    save_policy(policy(tmp_path, 0), network, architecture="mlp_baseline", provenance={"step": 0})
    warning = check_evaluation(folder.experiment())
    assert warning.startswith("the evaluation plays levels that training may play as well, in simple (2 of 2")
    unit = StageUnit(stage_kind("evaluate"))
    context = StageContext(folder.experiment(), folder, unit, local=True)
    outputs = run(context)
    assert caplog.messages[0] == warning
    write_manifest(
        folder.stage(unit.name), name="evaluate", inputs={}, options={}, outputs=[], extra=outputs.extra
    )
    assert f"T{warning[1:]}." in warnings_of(read_run(folder.path))
