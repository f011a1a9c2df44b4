import numpy as np
import pytest

from rayrl.report.outcomes import Kind, outcomes_of
from rayrl.report.run_reader import read_run
from tests.evaluation.results import result_of
from tests.report.run_folder import write_experiment, write_run


def place(path, returns_by_file, **options):
    for file, returns in returns_by_file.items():
        target = path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        result_of(returns, **options).save(target)


@pytest.fixture
def run(tmp_path):
    """Two cold seeds, one warm, one cloned, a reference, random actions; numbers to compute by hand."""
    write_experiment(tmp_path, seeds=[0, 1], collect={"demonstrators": {"least_outstanding": 1, "fair": 3}})
    place(
        tmp_path,
        {
            "mlp_baseline/no_pretrain/seed_0/eval_results.json": [4.0, 6.0],
            "mlp_baseline/no_pretrain/seed_1/eval_results.json": [6.0, 10.0],
            "mlp_baseline/with_pretrain/seed_0/eval_results.json": [9.0, 11.0],
            "mlp_baseline/pretrain/seed_0/eval_results.json": [3.0, 5.0],
            "evaluate/demonstrators/least_outstanding.json": [9.0, 11.0],
            "evaluate/demonstrators/fair.json": [5.0, 7.0],
            "evaluate/demonstrators/random.json": [1.0, 3.0],
        },
    )
    return read_run(tmp_path)


def test_who_was_evaluated(run):
    outcomes = outcomes_of(run)
    assert [(row.label, row.kind) for row in outcomes.rows] == [
        ("cold", Kind.trained),
        ("warm", Kind.trained),
        ("cloned", Kind.cloned),
        ("fair", Kind.demonstrator),
        ("least_outstanding", Kind.demonstrator),
        ("random", Kind.demonstrator),
    ]
    assert len({row.style for row in outcomes.rows}) == 6
    assert (outcomes.reference.label, outcomes.random.label) == ("least_outstanding", "random")


def test_seeds_are_averaged_episode_by_episode(run):
    cold = outcomes_of(run).rows[0]
    np.testing.assert_array_equal(cold.values("episode_return"), [5.0, 8.0])
    assert cold.mean("episode_return").value == 6.5
    assert cold.seed_means("episode_return") == [5.0, 8.0]


def test_differences_and_scores_by_hand(run):
    outcomes = outcomes_of(run)
    cold, warm = outcomes.rows[:2]
    # 5 − 9 and 8 − 11
    assert cold.difference(outcomes.reference, "episode_return").value == -3.5
    assert warm.difference(outcomes.reference, "episode_return").value == 0.0
    # (6.5 − 2) / (10 − 2)
    assert outcomes.score(cold).value == 4.5 / 8
    assert outcomes.score(warm).value == 1.0
    # Shares 1 and 3 of scores 1 and (6 − 2) / 8 = 0.5.
    assert outcomes.mixed_score({"least_outstanding": 1.0, "fair": 3.0}) == 0.625
    assert outcomes.mixed_score({"absent": 1.0}) is None
    assert outcomes.mixed_score({}) is None


def test_results_of_other_episodes_are_left_out_and_named(run):
    place(run.path, {"evaluate/demonstrators/fair.json": [5.0, 7.0]}, seeds=[7, 8])
    outcomes = outcomes_of(read_run(run.path))
    assert [row.label for row in outcomes.unpaired] == ["fair"]
    assert "fair" not in [row.label for row in outcomes.rows]


def test_without_a_scale_there_is_no_score(run):
    place(run.path, {"evaluate/demonstrators/random.json": [20.0, 30.0]})
    outcomes = outcomes_of(read_run(run.path))
    assert outcomes.score(outcomes.rows[0]) is None
    assert outcomes.mixed_score({"least_outstanding": 1.0}) is None


def test_architectures_are_named_where_there_are_several(tmp_path):
    write_run(tmp_path, architectures=["mlp_small", "mlp_large"], seeds=[0])
    labels = [row.label for row in outcomes_of(read_run(tmp_path)).rows[:6]]
    assert labels == [
        "mlp_small, cold", "mlp_small, warm", "mlp_large, cold", "mlp_large, warm",
        "mlp_small, cloned", "mlp_large, cloned",
    ]  # fmt: skip


def test_a_run_without_results_has_no_outcomes(tmp_path):
    write_experiment(tmp_path)
    outcomes = outcomes_of(read_run(tmp_path))
    assert outcomes.rows == ()
    assert outcomes.reference is None
