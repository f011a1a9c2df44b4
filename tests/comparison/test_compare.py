import json

import numpy as np
import pytest

from rayrl.comparison.compare import compare
from rayrl.comparison.criteria import Criterion
from rayrl.comparison.record import Comparison
from rayrl.errors import ConfigError
from rayrl.report.run_reader import read_run
from tests.comparison.run_folder import ARCHITECTURES, write_run, write_trial
from tests.report.run_folder import write_json
from tests.report.run_folder import write_run as write_router_run

GCN = "gcn, warm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def found(folder):
    return compare(read_run(folder))


def test_the_suites_categories_are_the_tasks_and_success_needs_no_scale(found):
    assert (found.measure, found.tasks) == ("success", ("simple", "medium", "mine_heavy"))
    assert {(scale.low, scale.high) for scale in found.scales.values()} == {(0.0, 1.0)}


def test_scores_are_those_of_the_results(folder, found):
    stored = json.loads((folder / "gcn/with_pretrain/seed_1/eval_results.json").read_text())
    of_category = np.array(stored["category"]) == "medium"
    rate = np.array(stored["metrics"]["episode_success"])[of_category].mean()
    candidate = found.candidate(GCN)
    assert candidate.scores["medium"][candidate.seeds.index(1)] == pytest.approx(rate)
    means = [np.mean(scores) for scores in candidate.scores.values()]
    assert candidate.mean.value == pytest.approx(np.mean(means))
    assert candidate.median.value == pytest.approx(np.median(means))
    assert candidate.mean.low < candidate.mean.value < candidate.mean.high


def test_a_failed_trial_does_not_count_with_what_it_came_to_before(tmp_path):
    write_run(tmp_path, seeds=(0, 1, 2, 3))
    write_trial(tmp_path, "gcn", "no_pretrain", 1, success=1.0, state="failed", step=0)
    found = compare(read_run(tmp_path))
    candidate = found.candidate("gcn, cold")
    assert (candidate.seeds, candidate.left_out) == ((0, 2, 3), (1,))
    assert any("gcn, cold" in warning and "seed 1" in warning for warning in found.warnings)


def test_costs_are_what_the_run_recorded(found):
    candidate = found.candidate(GCN)
    of = ARCHITECTURES["gcn"]
    costs = {name: estimate.value for name, estimate in candidate.criteria.items() if name.is_cost}
    assert costs == {
        Criterion.latency: of["p50"],
        # Ten iterations, and 20 s of pretraining before them.
        Criterion.wall_time: pytest.approx(of["seconds"] + 20),
        # The machine has none.
        Criterion.gpu_hours: 0.0,
        Criterion.parameters: of["parameters"],
        Criterion.memory: of["memory"] + 10,
    }
    assert (candidate.flops, candidate.latency_p99, candidate.steps) == (2 * of["parameters"], 2.8, 50_000)
    cold = found.candidate("gcn, cold").criteria[Criterion.wall_time].value
    assert cold == pytest.approx(of["seconds"])


def test_gpu_hours_are_the_trials_own(tmp_path):
    write_run(tmp_path)
    for seed in range(3):
        manifest = {"extra": {"seconds": 360.0, "gpus": 2.0, "gpu_hours": 0.2 + seed}}
        write_json(tmp_path / f"gcn/with_pretrain/seed_{seed}/manifest.json", manifest)
    criteria = compare(read_run(tmp_path)).candidate(GCN).criteria
    # (0.2 + 1.2 + 2.2) / 3: without the 20 s of pretraining, which has no GPU.
    assert criteria[Criterion.gpu_hours].value == pytest.approx(1.2)


def test_safety_and_efficiency_by_hand(folder, found):
    safety, efficiency = [], []
    for seed in range(3):
        stored = json.loads((folder / f"gcn/with_pretrain/seed_{seed}/eval_results.json").read_text())
        metrics = {name: np.array(values) for name, values in stored["metrics"].items()}
        for category in found.tasks:
            mine = np.array(stored["category"]) == category
            safety.append(1 - metrics["death"][mine].mean())
            direct = metrics["optimal_steps"] / metrics["episode_length"]
            efficiency.append((metrics["episode_success"] * direct)[mine].mean())
    criteria = found.candidate(GCN).criteria
    assert criteria[Criterion.safety].value == pytest.approx(np.mean(safety))
    assert criteria[Criterion.efficiency].value == pytest.approx(np.mean(efficiency))


def test_sample_efficiency_is_the_mean_success_while_training(folder, found):
    rates = []
    for seed in range(3):
        lines = (folder / f"gcn/with_pretrain/seed_{seed}/progress.jsonl").read_text().splitlines()
        rates.append([json.loads(line)["success_rate"] for line in lines])
    # From 5,000 to 50,000 steps, 5,000 apart: the outer ones count half.
    by_seed = (np.sum(rates, axis=1) - (np.take(rates, 0, 1) + np.take(rates, -1, 1)) / 2) / 9
    assert found.candidate(GCN).criteria[Criterion.sample_efficiency].value == pytest.approx(by_seed.mean())


def test_the_totals_are_the_weighted_means_of_what_counts(found):
    decision = found.decision
    assert decision.unknown == ()
    for standing in decision.standings:
        weighed = sum(decision.weights[name] * value for name, value in standing.utilities.items())
        assert standing.total == pytest.approx(weighed / sum(decision.weights.values()))
    totals = [standing.total for standing in decision.standings]
    assert totals == sorted(totals, reverse=True)
    assert sum(standing.first for standing in decision.standings) == pytest.approx(1)


def test_every_pair_and_every_architectures_pretraining(found):
    assert len(found.pairs) == 6 * 5 / 2
    pair = next(each for each in found.pairs if (each.a, each.b) == ("mlp_baseline, cold", "full_hgt, warm"))
    assert pair.sign == -1
    assert pair.difference.high < 0
    assert [effect.architecture for effect in found.effects] == [*ARCHITECTURES]
    effect = found.effects[0]
    warm, cold = (found.candidate(f"mlp_baseline, {name}") for name in ("warm", "cold"))
    assert effect.score.value == pytest.approx(warm.mean.value - cold.mean.value)


def test_three_seeds_are_few_and_that_is_said(found):
    assert found.refused is None
    assert "3 training seeds" in found.warnings[0]


def test_five_are_not(tmp_path):
    few = compare(read_run(write_run(tmp_path, seeds=range(5), architectures=["gcn"])))
    assert few.warnings == ()


def test_two_seeds_have_no_statistics(tmp_path):
    found = compare(read_run(write_run(tmp_path, seeds=(0, 1), architectures=["gcn", "full_hgt"])))
    assert found.refused.startswith(
        "gcn, cold: 2 training seeds: statistics over seeds need at least 3; add seeds"
    )
    assert (found.pairs, found.effects) == ((), ())
    assert {standing.first for standing in found.decision.standings} == {None}
    for candidate in found.candidates:
        assert candidate.mean.value is not None
        estimates = [candidate.iqm, candidate.mean, *candidate.criteria.values()]
        assert all(estimate.low is None for estimate in estimates)


def test_what_is_not_recorded_is_unknown_and_does_not_count(tmp_path):
    found = compare(read_run(write_run(tmp_path, architectures=["gcn", "full_hgt"], costs=False)))
    unknown = (Criterion.parameters, Criterion.latency, Criterion.memory)
    assert found.decision.unknown == unknown
    assert not {*unknown} & found.decision.weights.keys()
    assert found.candidates[0].criteria[Criterion.latency].value is None
    assert found.candidates[0].flops is None


def test_a_trial_without_results_is_left_out_and_named(tmp_path):
    write_run(tmp_path, seeds=range(4), architectures=["gcn"])
    (tmp_path / "gcn/no_pretrain/seed_2/eval_results.json").unlink()
    found = compare(read_run(tmp_path))
    cold = found.candidate("cold")
    assert (cold.seeds, cold.left_out) == ((0, 1, 3), (2,))
    assert any(
        "cold: without results that can be compared, and so left out: seed 2" in each
        for each in found.warnings
    )
    assert found.effects[0].seeds == (0, 1, 3)


def test_a_candidate_without_any_results_is_named(tmp_path):
    write_run(tmp_path, architectures=["gcn", "full_hgt"])
    for file in tmp_path.glob("full_hgt/*/*/eval_results.json"):
        file.unlink()
    found = compare(read_run(tmp_path))
    assert [each.label for each in found.candidates] == ["gcn, cold", "gcn, warm"]
    assert (
        "full_hgt, cold: without results that can be compared, and so left out: seed 0, 1, 2."
        in found.warnings
    )


def test_weights_decide(folder, tmp_path):
    write_run(
        tmp_path, compare={"weights": {"success": 0, "efficiency": 0, "safety": 0, "sample_efficiency": 0}}
    )
    found = compare(read_run(tmp_path))
    assert Criterion.success not in found.decision.weights
    assert found.decision.standings[0].label == "mlp_baseline, cold"


def test_wrong_weights_in_a_run_are_an_error(tmp_path):
    write_run(tmp_path, architectures=["gcn"], compare={"weights": {"speed": 1}})
    with pytest.raises(ConfigError, match="no criterion 'speed'"):
        compare(read_run(tmp_path))


def test_an_environment_without_success_is_scored_by_returns(tmp_path):
    found = compare(read_run(write_router_run(tmp_path)))
    assert (found.measure, found.tasks) == ("score", ("as_trained",))
    scale = found.scales["as_trained"]
    assert (scale.low_from, scale.high_from) == ("random", "least_outstanding")
    assert scale.low == pytest.approx(-1380, abs=10)
    assert scale.high == pytest.approx(-24, abs=10)
    assert 0.9 < found.candidate("warm").mean.value < 1.1


def test_without_a_reference_returns_stand_as_they_are(tmp_path):
    write_router_run(tmp_path)
    for file in tmp_path.glob("evaluate/demonstrators/*.json"):
        file.unlink()
    found = compare(read_run(tmp_path))
    assert (found.measure, found.scales) == ("return", {})
    assert found.candidate("warm").optimality_gap.value is None
    assert [standing.utilities[Criterion.success] for standing in found.decision.standings] == [1, 0]


def test_one_candidate_is_nothing_to_compare(tmp_path):
    write_run(tmp_path, architectures=["gcn"], conditions=["no_pretrain"])
    assert compare(read_run(tmp_path)) is None


def test_the_record_survives_json(found):
    text = found.model_dump_json()
    assert Comparison.parse(json.loads(text), where="comparison.json") == found


def test_the_same_folder_gives_the_same_numbers(folder, found):
    assert compare(read_run(folder)) == found


def test_a_failed_trial_does_not_keep_others_from_being_compared(tmp_path):
    write_run(tmp_path, seeds=range(4), architectures=["gcn"])
    write_trial(tmp_path, "gcn", "no_pretrain", 0, state="failed", error="out of memory", step=20_000)
    (tmp_path / "gcn/no_pretrain/seed_0/eval_results.json").unlink()
    write_json(tmp_path / "gcn/no_pretrain/seed_0/policy/policy.json", {"weights_sha256": "0"})
    assert len(compare(read_run(tmp_path)).candidate("cold").seeds) == 3
