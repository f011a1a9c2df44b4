"""The sections on how levels are solved and on drawn actions, by numbers worked out by hand."""

import csv
import html
import io
import re

import pytest

from rayrl.evaluation.result import join_categories
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.experience.dataset import EnvInfo
from rayrl.report import build_report
from rayrl.report.build import compare_runs
from rayrl.report.levels import levels_csv, solved_in
from rayrl.report.outcomes import outcomes_of
from rayrl.report.run_reader import read_run
from rayrl.report.sections.registry import sections_for
from rayrl.report.sections.results import further_metrics
from tests.evaluation.results import result_of
from tests.report.run_folder import write_experiment, write_json, write_run

ENV = "rayrl/MineMaze-v0"
COLD = "mlp_baseline/no_pretrain"
LIMIT = 100


def played(success, steps, death, *, seed=0, name="mlp_baseline", kind="policy"):
    """Episodes of levels whose shortest way has 10 steps; what neither succeeded nor died ran out of time."""
    timeout = [not (s or d) for s, d in zip(success, death, strict=True)]
    return result_of(
        success,
        name=name,
        kind=kind,
        env=ENV,
        seeds=[1000 * seed + episode for episode in range(len(success))],
        episode_length=steps,
        episode_success=success,
        death=death,
        timeout=timeout,
        optimal_steps=[10] * len(success),
        max_steps=[LIMIT] * len(success),
    )


def categories(*, small, large, **who):
    """As trained nothing succeeds; what was played in the other two is given."""
    parts = {
        AS_TRAINED: played([0, 0], [LIMIT, LIMIT], [0, 0], **who),
        "small": played(*small, seed=1, **who),
        "large": played(*large, seed=2, **who),
    }
    for name, part in parts.items():
        config = {"categories": {name: 1}}
        parts[name] = part.model_copy(update={"env": EnvInfo(id=ENV, config=config)})
    return join_categories(parts)


FIRST = {
    "small": ([1, 1], [10, 20], [0, 0]),
    "large": ([1, 0, 0, 0], [40, 10, LIMIT, 50], [0, 1, 0, 1]),
}
SECOND = {
    "small": ([1, 0], [10, 10], [0, 1]),
    "large": ([0, 0, 0, 0], [LIMIT] * 4, [0, 0, 0, 0]),
}
DRAWN = {
    "small": ([0, 1], [LIMIT, 20], [0, 0]),
    "large": ([0, 0, 0, 0], [LIMIT] * 4, [0, 0, 0, 0]),
}


def save(result, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    result.save(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two cold seeds, one of which was also evaluated with drawn actions, and a demonstrator."""
    path = tmp_path_factory.mktemp("run")
    write_experiment(
        path,
        seeds=[0, 1],
        conditions=["no_pretrain"],
        env={"id": ENV, "config": {}},
        collect={"demonstrators": {"planner": 1.0}, "steps": 64},
        evaluate={"stochastic": True},
    )
    for seed, parts in enumerate((FIRST, SECOND)):
        save(categories(**parts), path / COLD / f"seed_{seed}" / "eval_results.json")
        write_json(
            path / COLD / f"seed_{seed}" / "trial.json", {"state": "finished", "step": 1, "total_steps": 1}
        )
        drawn = DRAWN if seed == 0 else SECOND
        save(categories(**drawn), path / COLD / f"seed_{seed}" / "eval_results_stochastic.json")
    best = {"small": ([1, 1], [10, 10], [0, 0]), "large": ([1] * 4, [10] * 4, [0] * 4)}
    planner = categories(**best, name="planner", kind="demonstrator")
    save(planner, path / "evaluate" / "demonstrators" / "planner.json")
    return path


@pytest.fixture(scope="module")
def page(folder):
    return build_report(folder)


def rows_of(run, **wanted):
    """The values of the CSV's rows, by metric."""
    rows = csv.DictReader(io.StringIO(levels_csv(run)))
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    assert len({row["metric"] for row in found}) == len(found)
    return {row["metric"]: float(row["value"]) for row in found if row["value"]}


def section_of(page, key):
    """The words of a section."""
    (text,) = re.findall(rf'<section id="{key}">(.*?)</section>', page.read_text(), re.DOTALL)
    text = re.sub(r"<script.*?</script>", " ", text.replace("<wbr>", ""), flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def test_the_numbers_are_means_over_seeds(folder):
    run = read_run(folder)
    small = rows_of(run, actions="likely", name="cold", over="small")
    assert small == pytest.approx(
        {
            "success_rate": (2 / 2 + 1 / 2) / 2,
            "steps": (15 + 10) / 2,
            "return": (1 + 0.5) / 2,
            "efficiency": (1 / 0.15 + 0.5 / 0.10) / 2,
            "spl": ((1 + 10 / 20) / 2 + 1 / 2) / 2,
            "path_optimality": ((1 + 10 / 20) / 2 + 1) / 2,
            "safety": (1 + 1 / 2) / 2,
            "failed_by_death": (0 + 1 / 2) / 2,
            "failed_by_timeout": 0.0,
        }
    )
    large = rows_of(run, actions="likely", name="cold", over="large")
    assert large == pytest.approx(
        {
            "success_rate": (1 / 4 + 0) / 2,
            "steps": (200 / 4 + 100) / 2,
            "return": (1 / 4 + 0) / 2,
            "efficiency": (0.25 / 0.5 + 0) / 2,
            "spl": ((10 / 40) / 4 + 0) / 2,
            "path_optimality": 10 / 40,  # the second has no success
            "safety": (2 / 4 + 1) / 2,
            "failed_by_death": (2 / 4 + 0) / 2,
            "failed_by_timeout": (1 / 4 + 1) / 2,
        }
    )
    micro = rows_of(run, actions="likely", name="cold", over="micro")
    assert micro["success_rate"] == pytest.approx((3 / 6 + 1 / 6) / 2)
    assert micro["efficiency"] == pytest.approx(((3 / 6) / (230 / 600) + (1 / 6) / (420 / 600)) / 2)
    macro = rows_of(run, actions="likely", name="cold", over="macro")
    assert macro["success_rate"] == pytest.approx((0.75 + 0.125) / 2)
    assert macro["safety"] == pytest.approx((0.75 + 0.75) / 2)
    # As trained, nothing succeeds: it is in neither of the two.
    assert rows_of(run, actions="likely", name="cold", over=AS_TRAINED)["success_rate"] == 0.0
    assert rows_of(run, actions="likely", name="planner", over="macro")["spl"] == 1.0


def test_drawn_actions_are_told_apart(folder):
    run = read_run(folder)
    assert [who.label for who in solved_in(run, drawn=True)] == ["cold"]
    drawn = rows_of(run, actions="drawn", name="cold", over="small")
    assert drawn["success_rate"] == 0.5
    assert drawn["path_optimality"] == pytest.approx((10 / 20 + 1) / 2)
    assert rows_of(run, actions="likely", name="cold", over="small")["success_rate"] == 0.75
    assert not [problem for problem in run.problems if "drawn" in problem]


def test_the_section_has_all_metrics_and_what_they_mean(page):
    text = section_of(page, "levels")
    for shown in (
        "success rate", "SPL", "efficiency", "path optimality", "safety", "steps", "death", "timeout",
        "an early death raises it", "0 for whatever failed, however early", "1 − deaths per episode",
        "Means of the categories, each with the same weight (macro)", "alike (micro)",
        "mean of categories (macro)", "all episodes (micro)", "failures by cause: death, by category",
    ):  # fmt: skip
        assert shown in text, shown
    # macro success of the cold policies, (0.75 + 0.125) / 2, and of the planner
    assert re.search(r"cold 0\.44 \d", text)
    assert "planner 1 1 to 1 1 1 to 1 10 10 to 10" in text  # success rate, SPL, and 1 / (10 / 100)


def test_failures_by_cause_are_a_figure_too(page):
    with (page.parent / "figures" / "failures.csv").open() as file:
        rows = list(csv.DictReader(file))
    # of six episodes, over both seeds: 2 and 1 died, 1 and 4 ran out of time
    assert {row["part"]: float(row["value"]) for row in rows if "cold" in row.values()} == pytest.approx(
        {"death": (2 + 1) / 12, "timeout": (1 + 4) / 12}
    )
    assert (page.parent / "figures" / "failures_drawn.csv").is_file()


def test_drawn_actions_stand_beside_the_most_likely_ones(page):
    text = section_of(page, "drawn")
    assert "Success rate with drawn actions less that with the most likely ones" in text
    # in small 0.5 less 0.75, in large 0 less 0.125
    assert re.search(r"small −0\.25\b", text)
    assert re.search(r"large −0\.1[23]\d?\b", text)
    assert "How levels are solved with drawn actions" in text


def test_what_tells_of_the_level_is_no_metric(folder, page):
    assert further_metrics(outcomes_of(read_run(folder), "small")) == [
        "episode_length", "episode_success", "death", "timeout",
    ]  # fmt: skip
    text = page.read_text()
    assert "optimal steps" not in text
    assert "max steps" not in text


def test_results_of_drawn_actions_that_are_due_and_not_there_are_named(folder, tmp_path):
    write_experiment(tmp_path, seeds=[0], conditions=["no_pretrain"], evaluate={"stochastic": True})
    save(categories(**FIRST), tmp_path / COLD / "seed_0" / "eval_results.json")
    write_json(tmp_path / COLD / "seed_0" / "trial.json", {"state": "finished", "step": 1, "total_steps": 1})
    run = read_run(tmp_path)
    assert f"{COLD}/seed_0: the policy is not evaluated with drawn actions." in run.problems
    assert "drawn" not in {section.key for section in sections_for(run)}


def test_an_environment_without_success_has_drawn_actions_alone(tmp_path):
    run = write_run(tmp_path, seeds=[0], conditions=["no_pretrain"])
    home = run / COLD / "seed_0"
    (home / "eval_results_stochastic.json").write_bytes((home / "eval_results.json").read_bytes())
    read = read_run(run)
    keys = {section.key for section in sections_for(read)}
    assert "levels" not in keys
    assert "drawn" in keys
    page = build_report(run)
    assert not (page.parent / "levels.csv").exists()
    text = section_of(page, "drawn")
    assert "Mean return with drawn actions" in text
    assert "Success rate" not in text
    assert "levels are solved" not in text


def test_several_runs_have_the_levels_of_all(folder, tmp_path):
    page = compare_runs([folder, _copy(folder, tmp_path / "other")], tmp_path / "page")
    text = section_of(page, "levels")
    assert "A cold" in text
    assert "B cold" in text
    # the planner did the same in both
    assert "A planner" not in text


def _copy(folder, target):
    for file in folder.rglob("*.json"):
        if "report" not in file.parts:
            place = target / file.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    return target
