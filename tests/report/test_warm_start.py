import math

import numpy as np
import pytest

from rayrl.evaluation.result import join_categories
from rayrl.experience.dataset import EnvInfo
from rayrl.report.curves import Curve
from rayrl.report.run_reader import read_run
from rayrl.report.warm_start import curve_difference, warm_starts
from tests.evaluation.results import result_of
from tests.report.run_folder import write_experiment, write_json, write_lines


def curve(steps, returns):
    return Curve({"step": np.array(steps, float), "episode_return_mean": np.array(returns, float)})


def test_the_difference_of_two_curves_is_that_of_their_areas():
    # On 10…20 a − b rises from 0 to 10, on 20…30 it stays 10: (50 + 100) / 20.
    a, b = curve([10, 20, 30], [0, 10, 10]), curve([10, 30], [0, 0])
    assert curve_difference(a, b) == 7.5
    assert curve_difference(b, a) == -7.5


def test_only_steps_that_both_have_count():
    # From 10 to 20, where a is 1, 2 and b is 0; unknown means are passed over.
    a, b = curve([0, 10, 20], [math.nan, 1, 2]), curve([0, 20, 40], [0, 0, 99])
    assert curve_difference(a, b) == 1.5
    assert math.isnan(curve_difference(curve([0, 10], [1, 1]), curve([10, 20], [1, 1])))
    assert math.isnan(curve_difference(curve([], []), b))


def trial(path, condition, seed, returns, *, step=1000, level=0.0):
    folder = path / "mlp_baseline" / condition / f"seed_{seed}"
    write_lines(folder / "progress.jsonl", [{"step": s, "episode_return_mean": level} for s in (500, step)])
    write_json(folder / "trial.json", {"state": "finished", "step": step, "total_steps": 1000})
    result_of(returns).save(folder / "eval_results.json")


def test_trials_are_compared_seed_by_seed(tmp_path):
    write_experiment(tmp_path)
    for seed, (cold, warm) in enumerate([(1.0, 2.0), (10.0, 12.0), (5.0, 8.0)]):
        trial(tmp_path, "no_pretrain", seed, [cold] * 2, level=0.0)
        trial(tmp_path, "with_pretrain", seed, [warm] * 2, level=4.0)
    (found,) = warm_starts(read_run(tmp_path))
    # Differences 1, 2 and 3: 2 ± 4.30265 / √3.
    assert (found.final.value, found.final.n, found.better, found.step) == (2.0, 3, 3, 1000)
    assert found.final.low == pytest.approx(2 - 2.48414, abs=1e-5)
    assert (found.throughout.value, found.throughout.low, found.throughout.high) == (4.0, 4.0, 4.0)


def test_at_the_end_only_pairs_of_equal_steps_are_compared(tmp_path):
    write_experiment(tmp_path, seeds=[0, 1])
    for seed in (0, 1):
        trial(tmp_path, "no_pretrain", seed, [1.0], step=1000)
    trial(tmp_path, "with_pretrain", 0, [3.0], step=1000)
    trial(tmp_path, "with_pretrain", 1, [9.0], step=800)
    (found,) = warm_starts(read_run(tmp_path))
    assert (found.final.value, found.final.n) == (2.0, 1)
    assert found.throughout.n == 2


def test_without_both_conditions_there_is_nothing_to_compare(tmp_path):
    write_experiment(tmp_path, conditions=["no_pretrain"])
    assert warm_starts(read_run(tmp_path)) == []


def test_only_episodes_of_the_environment_as_trained_count(tmp_path):
    write_experiment(tmp_path, seeds=[0])
    for condition, returns in (("no_pretrain", [1.0, 3.0]), ("with_pretrain", [5.0, 7.0])):
        trial(tmp_path, condition, 0, returns)
        result = result_of(returns)
        harder = result_of([-1000.0 * value for value in returns])
        harder = harder.model_copy(update={"env": EnvInfo(id=harder.env.id, config={"load": 2.0})})
        file = tmp_path / "mlp_baseline" / condition / "seed_0" / "eval_results.json"
        join_categories({"as_trained": result, "overload": harder}).save(file)
    (found,) = warm_starts(read_run(tmp_path))
    assert found.final.value == 4.0
