"""Steps to target by hand: who reached it when, who is censored, and what is saved."""

import html
import re

import numpy as np
import pytest

from rayrl.report import build_report
from rayrl.report.curves import Curve
from rayrl.report.run_data import Trial
from rayrl.report.run_reader import read_run
from rayrl.report.sections.target import target_sentences
from rayrl.report.steps_to_target import Steps, Target, steps_to_target, steps_until, target_of
from tests.evaluation.results import result_of
from tests.report.run_folder import write_experiment, write_lines, write_run


def trial(returns):
    steps = np.arange(1, len(returns) + 1) * 100.0
    columns = {"step": steps, "episode_return_mean": np.array(returns, float)}
    return Trial("mlp_baseline", "no_pretrain", 0, Curve(columns), None, None)


@pytest.mark.parametrize(
    ("returns", "steps"),
    [
        # The first time counts, and an unknown return is not one below the target.
        ([1, 5, 4, 6], Steps(200, reached=True)),
        ([np.nan, np.nan, 5, 6], Steps(300, reached=True)),
        # Reached early, though the training ended early.
        ([5, 6], Steps(100, reached=True)),
        # Not reached: within a budget of 350 the fourth batch is the last.
        ([1, 2, 3, 4], Steps(400, reached=False)),
        ([1, 2, 3], None),
        ([], None),
    ],
)
def test_when_a_trial_is_at_the_target(returns, steps):
    assert steps_until(trial(returns), target=5.0, budget=350) == steps


def write_trials(path, steps_by_condition, *, budget=1000):
    """Trials that return 10 from a step on, and 0 before; None never does."""
    seeds = len(next(iter(steps_by_condition.values())))
    train = {"algorithm": "ppo", "total_steps": budget}
    write_experiment(path, seeds=[*range(seeds)], train=train, report={"target": 10.0})
    for condition, ends in steps_by_condition.items():
        for seed, end in enumerate(ends):
            rows = [
                {"step": step, "episode_return_mean": 10.0 * (end is not None and step >= end)}
                for step in range(100, budget + 1, 100)
            ]
            write_lines(path / "mlp_baseline" / condition / f"seed_{seed}" / "progress.jsonl", rows)


def test_the_saving_and_its_interval(tmp_path):
    write_trials(tmp_path, {"no_pretrain": [1000, 1000, 1000], "with_pretrain": [200, 300, 400]})
    run = read_run(tmp_path)
    (found,) = steps_to_target(run, target_of(run))
    # 1 − 300 / 1000; with equal denominators Fieller's interval is Student's: ± 4.30265 · 100 / √3 / 1000.
    assert found.saving.value == pytest.approx(0.7)
    assert found.saving.low == pytest.approx(0.7 - 0.248414, abs=1e-6)
    assert found.saving.high == pytest.approx(0.7 + 0.248414, abs=1e-6)


def test_who_does_not_reach_it_counts_with_the_budget(tmp_path):
    write_trials(tmp_path, {"no_pretrain": [None, None, 900], "with_pretrain": [100, 100, 100]})
    run = read_run(tmp_path)
    target = target_of(run)
    (found,) = steps_to_target(run, target)
    assert found.cold == (Steps(1000, reached=False), Steps(1000, reached=False), Steps(900, reached=True))
    # 1 − 300 / 2900.
    assert found.saving.value == pytest.approx(1 - 300 / 2900)
    head, numbers = target_sentences(run, found, target)
    assert head == "the warm start reached the target sooner."
    assert "warm-started trials took 100 steps in the mean and cold ones 967, so 89.7 % fewer" in numbers
    assert "2 of 3 cold trials had not reached it after 1,000 steps" in numbers


def test_a_seed_whose_training_ended_early_is_left_out(tmp_path):
    write_trials(tmp_path, {"no_pretrain": [500, 500], "with_pretrain": [100, None]})
    file = tmp_path / "mlp_baseline" / "with_pretrain" / "seed_1" / "progress.jsonl"
    write_lines(file, [{"step": 100, "episode_return_mean": 0.0}])
    run = read_run(tmp_path)
    (found,) = steps_to_target(run, target_of(run))
    assert (found.seeds, found.left_out) == ((0,), (1,))
    assert (found.saving.value, found.saving.low) == (pytest.approx(0.8), None)


def write_evaluated(path, means_by_condition, *, collect=None):
    """Trials of 500 steps with an evaluation of two episodes each 100 steps, the first before training."""
    (first, *_) = means_by_condition.values()
    train = {"algorithm": "ppo", "total_steps": 500, "evaluate_every": 100}
    changes = {"report": {"target": 10.0}, "train": train, "conditions": [*means_by_condition]}
    write_experiment(path, seeds=[*range(len(first))], **changes, **({"collect": collect} if collect else {}))
    for condition, seeds in means_by_condition.items():
        for seed, means in enumerate(seeds):
            folder = path / "mlp_baseline" / condition / f"seed_{seed}"
            rows = [{"step": step, "episode_return_mean": 0.0} for step in range(100, 501, 100)]
            write_lines(folder / "progress.jsonl", rows)
            lines = [
                {"step": 100 * i, "seeds": [1, 2], "metrics": {"episode_return": [mean - 1, mean + 1]}}
                for i, mean in enumerate(means)
            ]
            write_lines(folder / "evaluations.jsonl", lines)
            write_lines(
                path / "mlp_baseline" / "pretrain" / f"seed_{seed}" / "curve.jsonl",
                [{"epoch": epoch, "gradient_steps": 7} for epoch in (1, 2)],
            )
    return read_run(path)


def test_by_evaluations_two_in_a_row_are_wanted_and_a_start_at_the_target_is_void(tmp_path):
    cold = [[0, 10, 9, 10, 11, 12], [0, 0, 0, 0, 0, 10], [0, 10, 10, 10, 10, 10]]
    warm = [[9, 10, 10, 0, 0, 0], [9, 0, 10, 10, 0, 0], [10, 10, 10, 10, 10, 10]]
    demonstrations = {"demonstrators": {"least_outstanding": 1.0}, "steps": 50}
    run = write_evaluated(tmp_path, {"no_pretrain": cold, "with_pretrain": warm}, collect=demonstrations)
    (found,) = steps_to_target(run, target_of(run))
    # A single one at the target is not enough, be it before another below it or the last of all.
    assert found.cold == (Steps(300, reached=True), Steps(500, reached=False))
    assert found.warm == (Steps(100, reached=True), Steps(200, reached=True))
    assert (found.seeds, found.void, found.left_out) == ((0, 1), (2,), ())
    assert (found.demonstrations, found.cloning) == (50, (14, 14))
    # 1 − 300 / 800, and with 50 steps added to each warm trial 1 − 400 / 800.
    assert found.saving.value == pytest.approx(0.625)
    assert found.saving_with_demonstrations.value == pytest.approx(0.5)
    text = html.unescape(re.sub(r"(\s*<[^>]+>\s*)+", " ", build_report(tmp_path).read_text()))
    assert "seed 1 > 500 200 60.0 % 50 14" in text
    assert "void, since it began at the target: seed 2." in text
    assert "To a return in evaluation of 10, warm-started trials took 150 steps" in text


def test_each_condition_that_starts_from_a_policy_is_compared_with_cold_trials(tmp_path):
    means = {
        "no_pretrain": [[0] * 6],
        "with_pretrain": [[0] * 6],
        "with_pretrain_no_kl": [[0, 10, 10, 0, 0, 0]],
    }
    run = write_evaluated(tmp_path, means)
    held, free = steps_to_target(run, target_of(run))
    assert [found.condition for found in (held, free)] == ["with_pretrain", "with_pretrain_no_kl"]
    assert (held.warm[0], free.warm[0]) == (Steps(500, reached=False), Steps(100, reached=True))


def test_where_no_trial_reaches_it(tmp_path):
    write_trials(tmp_path, {"no_pretrain": [None, None], "with_pretrain": [None, None]})
    run = read_run(tmp_path)
    (found,) = steps_to_target(run, target_of(run))
    assert target_sentences(run, found, target_of(run)) == (
        "no trial reached the target.",
        "In 1,000 steps, none came to a training return of 10.",
    )


def put(path, **returns):
    for name, values in returns.items():
        file = path / "evaluate" / "demonstrators" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        result_of(values, name=name).save(file)


def test_the_target_is_close_to_the_reference_unless_one_is_named(tmp_path):
    write_experiment(tmp_path)
    assert target_of(read_run(tmp_path)) is None
    put(tmp_path, random=[-110.0, -90.0], least_outstanding=[-30.0, -10.0])
    # −100 + 0.95 · 80
    assert target_of(read_run(tmp_path)) == Target(-24.0, "a score of 0.95 against least_outstanding")
    write_experiment(tmp_path, report={"target_score": 1.0})
    assert target_of(read_run(tmp_path)) == Target(-20.0, "a score of 1 against least_outstanding")
    write_experiment(tmp_path, report={"target": -30.0})
    assert target_of(read_run(tmp_path)) == Target(-30.0)


def test_returns_of_training_are_not_held_against_an_evaluation_that_may_reward_differently(tmp_path):
    evaluate = {"episodes": 2, "env_config": {"requests": 64}}
    write_experiment(tmp_path, evaluate=evaluate)
    put(tmp_path, random=[-110.0, -90.0], least_outstanding=[-30.0, -10.0])
    assert target_of(read_run(tmp_path)) is None
    train = {"algorithm": "ppo", "total_steps": 1000, "evaluate_every": 100}
    write_experiment(tmp_path, evaluate=evaluate, train=train)
    assert target_of(read_run(tmp_path)) == Target(-24.0, "a score of 0.95 against least_outstanding")
    write_experiment(tmp_path, evaluate=evaluate, report={"target": -30.0})
    assert target_of(read_run(tmp_path)) == Target(-30.0)


def test_a_reference_no_better_than_random_actions_gives_no_target(tmp_path):
    write_experiment(tmp_path)
    put(tmp_path, random=[1.0, 3.0], least_outstanding=[2.0, 2.0])
    assert target_of(read_run(tmp_path)) is None


def test_the_page_has_the_steps_of_every_seed(tmp_path):
    write_run(tmp_path, report={"target": -50.0})
    page = build_report(tmp_path)
    text = html.unescape(re.sub(r"<[^>]+>", " ", page.read_text()))
    assert "Steps to target" in text
    assert "To a training return of −50, warm-started trials took" in text
    rows = (page.parent / "figures" / "steps_to_target.csv").read_text().splitlines()
    assert rows[0].startswith("label,value,low,high,n,point_0")
    assert [row.split(",")[0] for row in rows[1:]] == ["cold", "warm"]


def test_without_both_conditions_there_is_nothing_to_compare(tmp_path):
    write_run(tmp_path, conditions=["no_pretrain"], report={"target": -50.0})
    assert "Steps to target" not in build_report(tmp_path).read_text()
