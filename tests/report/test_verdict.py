import html
import re

import pytest

from rayrl.evaluation.statistics import Estimate
from rayrl.report.outcomes import outcomes_of
from rayrl.report.run_data import INEXACT
from rayrl.report.run_reader import read_run
from rayrl.report.sections.registry import sections_for
from rayrl.report.sections.verdict import SECTION, caveats, warm_start_finding
from rayrl.report.sections.warnings import warnings_of
from rayrl.report.warm_start import WarmStart
from tests.evaluation.results import result_of
from tests.report.run_folder import write_demonstrators, write_experiment, write_run, write_trial


def words(blocks):
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", "".join(blocks))))


@pytest.fixture
def run(tmp_path):
    return read_run(write_run(tmp_path))


def estimate(value, half, n=3):
    return Estimate(value=value, low=value - half, high=value + half, n=n)


UNKNOWN = Estimate(value=None, low=None, high=None, n=0)


@pytest.mark.parametrize(
    ("final", "throughout", "head"),
    [
        (estimate(5, 1), estimate(50, 10), "The warm start paid off."),
        (
            estimate(5, 9),
            estimate(50, 10),
            "The warm start learned faster; at the end no difference is shown.",
        ),
        (estimate(5, 9), estimate(5, 10), "No difference between warm and cold is shown."),
        (estimate(-5, 1), estimate(50, 10), "The warm start learned faster, but ended worse."),
        (estimate(-5, 1), estimate(-50, 10), "The warm start did harm."),
        (UNKNOWN, estimate(50, 10), "The warm start is ahead so far."),
        (estimate(5, 1, n=1), estimate(50, 10, n=1), "One seed cannot tell warm from cold."),
        (UNKNOWN, UNKNOWN, "Warm against cold cannot be told yet."),
    ],
)
def test_the_warm_start_in_words(run, final, throughout, head):
    step = 1000 if final.n else None
    comparison = WarmStart("mlp_baseline", step, final, better=2, throughout=throughout)
    assert words([warm_start_finding(run, comparison)]).strip().startswith(head)


def test_names_of_architectures_stay_as_they_are_written(tmp_path):
    run = read_run(write_run(tmp_path, architectures=["mlp_baseline", "gru"]))
    comparison = WarmStart("gru", 1000, estimate(5, 1), better=2, throughout=estimate(50, 10))
    assert words([warm_start_finding(run, comparison)]).strip().startswith("gru: the warm start paid off.")
    told = words(SECTION.build(run))
    assert "mlp_baseline, cold policies" in told
    assert "Mlp_baseline" not in told


def test_the_warm_start_in_numbers(run):
    comparison = WarmStart("mlp_baseline", 100_352, estimate(-5.04, 1.23), 1, estimate(50, 11))
    assert words([warm_start_finding(run, comparison)]).strip() == (
        "The warm start learned faster, but ended worse. After 100,352 steps, warm-started policies return "
        "5.0 less per episode than cold ones of the same seed (95 % interval −6.3 to −3.8); they are ahead "
        "in 1 of 3 seeds. While training, at equal steps, warm-started trials returned 50 more "
        "(95 % interval 39 to 61)."
    )


def put(path, name, returns, where="evaluate/demonstrators/{}.json"):
    file = path / where.format(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    result_of(returns, name=name).save(file)


def test_heuristics_and_teachers_in_words(tmp_path):
    write_experiment(tmp_path, seeds=[0], collect={"demonstrators": {"good": 1.0, "poor": 1.0}})
    put(tmp_path, "random", [0.0, 1.0, 0.0, 1.0])
    put(tmp_path, "good", [10.0, 11.0, 10.0, 11.0])
    put(tmp_path, "poor", [5.0, 6.0, 5.0, 6.0])
    put(tmp_path, "level", [7.0, 10.0, 7.0, 10.0])
    put(tmp_path, "no_pretrain", [8.0, 9.0, 8.0, 9.0], "mlp_baseline/{}/seed_0/eval_results.json")
    put(tmp_path, "pretrain", [6.0, 7.0, 6.0, 7.0], "mlp_baseline/{}/seed_0/eval_results.json")
    text = words(SECTION.build(read_run(tmp_path)))
    assert (
        "Cold policies beat 1 of the 3 heuristics. They beat poor (+3; 3 to 3). They cannot be told apart "
        "from level (0.0; −1.0 to 1.0). They lose to good (−2; −2 to −2). Their score is 0.8, where random "
        "actions score 0 and good 1."
    ) in text
    # Scores: 6 of 10 against (10 + 5) / 2 of 10.
    assert "Cloned policies have 80 % of their teachers' score. " in text
    assert "they score 0.6 (95 % interval 0.6 to 0.6), their demonstrators 0.75, weighted by share." in text


def test_without_heuristics_random_actions_are_the_rival(tmp_path):
    write_experiment(tmp_path, seeds=[0], conditions=["no_pretrain"], collect={"demonstrators": {}})
    put(tmp_path, "no_pretrain", [8.0, 9.0], "mlp_baseline/{}/seed_0/eval_results.json")
    text = words(SECTION.build(read_run(tmp_path)))
    assert (
        "Cold policies return 8.50 per episode. 95 % interval 8.00 to 9.00. There is nothing to compare"
        in text
    )
    put(tmp_path, "random", [1.0, 2.0])
    text = words(SECTION.build(read_run(tmp_path)))
    assert "Cold policies beat random. They beat random (+7; 7 to 7)." in text


def test_all_or_none_of_several_heuristics(tmp_path):
    write_experiment(tmp_path, seeds=[0], conditions=["no_pretrain"])
    put(tmp_path, "no_pretrain", [8.0, 9.0], "mlp_baseline/{}/seed_0/eval_results.json")
    put(tmp_path, "a", [1.0, 2.0])
    put(tmp_path, "b", [2.0, 3.0])
    assert "Cold policies beat all of the 2 heuristics." in words(SECTION.build(read_run(tmp_path)))
    put(tmp_path, "a", [10.0, 11.0])
    put(tmp_path, "b", [12.0, 13.0])
    text = words(SECTION.build(read_run(tmp_path)))
    assert "Cold policies beat none of the 2 heuristics. They lose to b (−4; −4 to −4) and a (−2" in text


def test_a_run_without_results_says_so(tmp_path):
    write_experiment(tmp_path, conditions=["no_pretrain"])
    assert "Nothing to compare yet." in words(SECTION.build(read_run(tmp_path)))


def test_a_good_run_has_no_caveats(tmp_path):
    run = read_run(write_run(tmp_path, seeds=[0, 1, 2, 3, 4]))
    assert list(caveats(run, outcomes_of(run))) == []
    assert warnings_of(run) == []
    assert "warnings" not in [section.key for section in sections_for(run)]


def test_caveats_and_warnings(tmp_path):
    write_run(tmp_path)
    write_trial(tmp_path, "no_pretrain", 0, state="failed", step=4096, evaluated=False, error="disk full")
    write_trial(tmp_path, "no_pretrain", 1, state="running", step=8192)
    for seed in (0, 1):
        (tmp_path / "mlp_baseline" / "no_pretrain" / f"seed_{seed}" / "eval_results.json").unlink()
    write_trial(tmp_path, "with_pretrain", 1, resumed_from=[2048, 6144], exact=False)
    write_trial(tmp_path, "with_pretrain", 2, resumed_from=[2048])
    run = read_run(tmp_path)
    assert list(caveats(run, outcomes_of(run))) == [
        "3 training seeds per condition: another run may turn out differently. At least 5 make the intervals "
        "over seeds worth something.",
        "2 of 6 trials did not finish.",
        f"1 trial cannot be repeated exactly: {INEXACT}.",
    ]
    warm = "mlp_baseline/with_pretrain/seed_"
    assert warnings_of(run) == [
        "mlp_baseline/no_pretrain/seed_0: failed at step 4,096: disk full",
        "mlp_baseline/no_pretrain/seed_1: running at step 8,192 of 100,000.",
        f"{warm}1: not exact: {INEXACT}.",
        f"{warm}1: resumed from step 2,048 and 6,144.",
        f"{warm}2: resumed from step 2,048, exactly.",
    ]


def test_few_episodes_and_unpaired_results_are_caveats(tmp_path):
    write_run(tmp_path)
    for file in tmp_path.rglob("eval_results.json"):
        file.unlink()
    for file in tmp_path.glob("evaluate/demonstrators/*.json"):
        file.unlink()
    write_demonstrators(tmp_path, aaa=1.0)
    put(tmp_path, "random", [0.0, 1.0])
    run = read_run(tmp_path)
    assert "Evaluated on other episodes, and so left out: random." in list(caveats(run, outcomes_of(run)))
    (tmp_path / "evaluate" / "demonstrators" / "aaa.json").unlink()
    run = read_run(tmp_path)
    assert "Each policy played only 2 episodes; intervals over so few are too narrow." in list(
        caveats(run, outcomes_of(run))
    )
