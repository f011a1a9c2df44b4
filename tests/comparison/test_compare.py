import itertools
import json
import re

import numpy as np
import pytest
from scipy.stats import ttest_ind

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


def test_who_keeps_policies_from_being_compared_by_success_is_named(tmp_path):
    write_run(tmp_path)
    file = tmp_path / "gcn/with_pretrain/seed_1/eval_results.json"
    stored = json.loads(file.read_text())
    success = stored["metrics"]["episode_success"]
    cut = [category == "medium" for category in stored["category"]]
    stored["metrics"]["episode_success"] = [None if gone else s for s, gone in zip(success, cut, strict=True)]
    write_json(file, stored)
    found = compare(read_run(tmp_path))
    assert found.measure == "return"
    (warning,) = [text for text in found.warnings if "success is not known of all" in text]
    assert "compared by return" in warning
    assert "a limit cut every episode of gcn warm, seed 1. Raise evaluate.max_steps" in warning


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
    assert pair.probability.high < 0.5
    assert pair.difference.high < 0
    # Three seeds are not tested, and so nobody is better beyond chance.
    assert {(each.p_value, each.sign) for each in found.pairs} == {(None, 0)}
    assert [effect.architecture for effect in found.effects] == [*ARCHITECTURES]
    effect = found.effects[0]
    warm, cold = (found.candidate(f"mlp_baseline, {name}") for name in ("warm", "cold"))
    assert effect.score.value == pytest.approx(warm.mean.value - cold.mean.value)


def test_three_seeds_are_few_and_that_is_said(found):
    assert found.warnings[0].startswith("3 training seeds: intervals over so few are too narrow")
    text = " ".join(found.recommendation)
    assert "beyond chance" not in text
    assert (
        "Each of its runs has a higher success than any run of mlp_baseline cold and mlp_baseline warm."
        in text
    )
    assert "By success alone it cannot be told from gcn cold, full_hgt cold and full_hgt warm." in text
    assert text.endswith("3 training seeds cannot exclude chance; that takes 5 or more of each.")


def test_five_are_not(tmp_path):
    found = compare(read_run(write_run(tmp_path, seeds=range(5), architectures=["gcn", "mlp_baseline"])))
    assert found.warnings == ()
    raw = [
        ttest_ind(*(found.candidate(name).run_means for name in (pair.a, pair.b)), equal_var=False).pvalue
        for pair in found.pairs
    ]
    smallest, second = (found.pairs[i] for i in np.argsort(raw)[:2])
    assert {smallest.a, smallest.b} == {"gcn, cold", "mlp_baseline, cold"}
    assert smallest.p_value == pytest.approx(6 * min(raw))
    assert {second.a, second.b} == {GCN, "mlp_baseline, cold"}
    assert second.p_value == pytest.approx(5 * sorted(raw)[1])
    assert (second.a, second.sign, second.mirrored.sign) == (GCN, 1, -1)
    means = [found.candidate(name).mean.value for name in (second.a, second.b)]
    assert second.difference.value == pytest.approx(means[0] - means[1])
    assert (
        "Its success is above that of mlp_baseline cold and mlp_baseline warm beyond chance."
        in found.recommendation
    )


def test_two_seeds_have_no_statistics(tmp_path):
    found = compare(read_run(write_run(tmp_path, seeds=(0, 1), architectures=["gcn", "full_hgt"])))
    (warning,) = found.warnings
    assert warning.startswith(
        "gcn cold, gcn warm, full_hgt cold and full_hgt warm: 2 training seeds with results; statistics over "
        "seeds need at least 3"
    )
    assert "Add seeds to the experiment, 5 or more" in warning
    assert (found.pairs, found.effects) == ((), ())
    assert {standing.first for standing in found.decision.standings} == {None}
    for candidate in found.candidates:
        assert candidate.mean.value is not None
        estimates = [candidate.iqm, candidate.mean, *candidate.criteria.values()]
        assert all(estimate.low is None for estimate in estimates)


def test_one_candidate_with_too_few_seeds_takes_nothing_from_the_others(tmp_path, found):
    write_run(tmp_path)
    (tmp_path / "gcn/no_pretrain/seed_1/eval_results.json").unlink()
    without = compare(read_run(tmp_path))
    few = without.candidate("gcn, cold")
    assert (few.seeds, few.left_out, few.has_statistics) == ((0, 2), (1,), False)
    assert all(each.low is None for each in (few.iqm, few.mean, *few.criteria.values()))
    # The others have the intervals that they had, and pairs and shares among themselves.
    others = [each.label for each in without.candidates if each.label != few.label]
    for label in others:
        assert without.candidate(label) == found.candidate(label)
    assert {(pair.a, pair.b) for pair in without.pairs} == {*itertools.combinations(others, 2)}
    assert [effect.architecture for effect in without.effects] == ["mlp_baseline", "full_hgt"]
    firsts = {standing.label: standing.first for standing in without.decision.standings}
    assert firsts.pop(few.label) is None
    assert sum(firsts.values()) == pytest.approx(1)
    assert without.warnings[0].startswith("gcn cold: 2 training seeds with results; statistics over seeds")
    assert "Mend what keeps other seeds from results and run the same command again" in without.warnings[0]
    assert not any("dd seeds" in warning for warning in without.warnings)
    assert without.recommendation[0].startswith("Take gcn warm: success ")


def test_who_is_recommended_with_too_few_seeds_is_said_to_be_unsure(tmp_path):
    write_run(tmp_path)
    (tmp_path / "gcn/with_pretrain/seed_1/eval_results.json").unlink()
    found = compare(read_run(tmp_path))
    text = " ".join(found.recommendation)
    assert text.startswith(
        "Take gcn warm: success 0.6583, 2 training seeds. How sure that is cannot be said: 2 training seeds "
        "with results, and it takes 3 or more. Its success is"
    )
    assert "probability" not in text
    assert "comes first" not in text


def test_candidates_that_are_all_equal_are_each_named(tmp_path):
    write_run(tmp_path, architectures=["gcn"], conditions=["no_pretrain", "with_pretrain"], costs=False)
    for seed in range(3):
        cold, warm = (tmp_path / f"gcn/{name}/seed_{seed}" for name in ("no_pretrain", "with_pretrain"))
        for file in ("eval_results.json", "progress.jsonl"):
            (warm / file).write_bytes((cold / file).read_bytes())
        policy = json.loads((cold / "policy/policy.json").read_text())
        write_json(warm / "policy/policy.json", policy)
        write_json(tmp_path / f"gcn/pretrain/seed_{seed}/summary.json", {"best_epoch": 3, "seconds": 0.0})
    first, second, *rest = compare(read_run(tmp_path)).recommendation
    assert first == "Nothing that was weighed tells cold and warm apart."
    assert re.fullmatch(
        r"With these weights cold comes first in 5\d\.\d % of resamples of the training seeds; next is warm "
        r"with 4\d\.\d %\.",
        second,
    ) or re.fullmatch(r"With these weights cold comes first in 4.*next is warm with 5.*", second)
    assert rest == [
        "By success alone cold cannot be told from warm.",
        "3 training seeds cannot exclude chance; that takes 5 or more of each.",
    ]


def test_the_front_of_everything_holds_who_is_beaten_by_none(found):
    assert GCN in found.decision.front
    # full_hgt from scratch is no better than gcn with pretraining in anything.
    assert "full_hgt, cold" not in found.decision.front


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
