"""Evaluations below the start, by hand: the bound, who is looked at, and what the page says."""

import html
import re

import numpy as np
import pytest
from scipy import stats

from rayrl.report import build_report
from rayrl.report.drops import drops_of
from rayrl.report.run_reader import read_run
from tests.report.run_folder import write_experiment, write_lines

CONDITIONS = ["no_pretrain", "with_pretrain", "with_pretrain_no_kl"]


def write(path, returns_by_condition, *, held=(100, 200)):
    """Trials with evaluations of two episodes by step; KL is on in the iterations that end at ``held``."""
    (first, *_) = returns_by_condition.values()
    train = {"algorithm": "ppo", "total_steps": 300, "evaluate_every": 100}
    write_experiment(path, seeds=[*range(len(first))], conditions=[*returns_by_condition], train=train)
    for condition, seeds in returns_by_condition.items():
        for seed, by_step in enumerate(seeds):
            folder = path / "mlp_baseline" / condition / f"seed_{seed}"
            coefficient = {} if condition != "with_pretrain" else {"curr_kl_ref_coeff": 0.0}
            rows = [
                {
                    "step": step,
                    "episode_return_mean": 0.0,
                    "learner": dict.fromkeys(coefficient, 0.5 * (step in held)),
                }
                for step in (100, 200, 300)
            ]
            write_lines(folder / "progress.jsonl", rows)
            evaluations = [
                {"step": step, "seeds": [7, 8], "metrics": {"episode_return": returns}}
                for step, returns in by_step.items()
            ]
            write_lines(folder / "evaluations.jsonl", evaluations)
    return read_run(path)


START = [10.0, 20.0]


def test_the_bound_of_a_drop(tmp_path):
    seeds = [
        {0: START, 100: [9.0, 18.0], 200: [10.0, 20.0], 300: [0.0, 0.0]},
        {0: START, 100: [7.0, 16.0], 200: [10.0, 20.0], 300: [0.0, 0.0]},
    ]
    (found,) = drops_of(write(tmp_path, {"no_pretrain": seeds, "with_pretrain": seeds}))
    assert (found.condition, found.seeds, found.start) == ("with_pretrain", (0, 1), 15.0)
    # Step 300 does not count: KL was off. Differences at 100: −1, −2, −3, −4; mean −2.5, s = √(5/3), n = 4,
    # and two evaluations share 5 %: t(0.975, 3) = 3.18245, so −2.5 + 3.18245 · 0.645497 = −0.44574.
    at_100, at_200 = found.pooled
    assert (at_100.step, at_100.mean) == (100, -2.5)
    assert at_100.bound == pytest.approx(-0.44574, abs=1e-4)
    assert at_100.is_drop
    # No difference in any episode is no drop.
    assert (at_200.mean, at_200.bound, at_200.is_drop) == (0.0, 0.0, False)
    assert found.lowest is at_100
    # Alone, a seed has two episodes, and four evaluations share the level.
    (single, _), _ = found.single
    half = stats.t.ppf(1 - 0.05 / 4, 1) * np.std([-1, -2], ddof=1) / np.sqrt(2)
    assert single.bound == pytest.approx(-1.5 + half)


def test_the_ablation_is_looked_at_over_the_same_steps(tmp_path):
    held = [{0: START, 100: START, 200: START}]
    free = [{0: START, 100: [1.0, 11.0], 200: [0.0, 20.5], 300: [0.0, 0.0]}]
    run = write(tmp_path, dict(zip(CONDITIONS, ([{0: START}], held, free), strict=True)))
    of_held, of_free = drops_of(run)
    assert [each.step for each in of_free.pooled] == [100, 200]
    assert not any(each.is_drop for each in of_held.pooled)
    # The same difference, −9, in both episodes: no spread, so it is the bound.
    assert (of_free.pooled[0].bound, of_free.pooled[0].is_drop) == (-9.0, True)
    text = html.unescape(re.sub(r"(\s*<[^>]+>\s*)+", " ", build_report(tmp_path).read_text()))
    assert "Held to the start" in text
    assert "warm without KL 15 2 1 −9 100" in text


def test_without_evaluations_under_kl_there_is_nothing_to_look_at(tmp_path):
    seeds = [{0: START, 100: START}]
    assert drops_of(write(tmp_path / "off", {"with_pretrain": seeds}, held=())) == []
    assert drops_of(write(tmp_path / "none", {"with_pretrain": [{}]})) == []
    # Without the start there is nothing to compare with.
    assert drops_of(write(tmp_path / "late", {"with_pretrain": [{100: START}]})) == []
