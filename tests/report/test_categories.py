"""The section on categories."""

import csv
import json

import pytest

from rayrl.evaluation.result import join_categories, load_result
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report import build_report
from rayrl.report.outcomes import categories_in, outcomes_of
from rayrl.report.run_reader import read_run
from rayrl.report.sections.categories import categories_sentences
from tests.report.run_folder import write_run


def worsen(result, by):
    """The same episodes under a load in which everybody returns less, and learned policies most of all."""
    learned = result.actor.kind == "policy"
    returns = tuple(value - by * (3 if learned else 1) for value in result.metrics["episode_return"])
    return result.model_copy(
        update={
            "env": result.env.model_copy(update={"config": {"target_load": 1.2}}),
            "metrics": result.metrics | {"episode_return": returns},
        }
    )


def write_categories(path, *, warm=50.0):
    """A run that was evaluated under such a load as well; in it warm policies lose three times ``warm``."""
    folder = write_run(path)
    files = [*folder.glob("*/*/seed_*/eval_results.json"), *folder.glob("evaluate/demonstrators/*.json")]
    for file in files:
        result = load_result(file)
        overload = worsen(result, warm if "with_pretrain" in file.parts else 50.0)
        join_categories({AS_TRAINED: result, "overload": overload}).save(file)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_categories(tmp_path_factory.mktemp("run"))


def test_a_run_without_categories_has_no_such_section(tmp_path):
    assert "<h2>Categories</h2>" not in build_report(write_run(tmp_path)).read_text()


def test_categories_are_told_apart(folder):
    run = read_run(folder)
    assert categories_in(run) == ["overload"]
    trained, overload = outcomes_of(run), outcomes_of(run, "overload")
    assert [row.label for row in trained.rows] == [row.label for row in overload.rows]
    for before, after, lost in zip(trained.rows[:1], overload.rows[:1], (150.0,), strict=True):
        change = before.values("episode_return") - after.values("episode_return")
        assert change.mean() == pytest.approx(lost)


def test_the_page_tells_where_policies_win_and_lose(folder):
    text = build_report(folder).read_text()
    assert "<h2>Categories</h2>" in text
    assert "policies lose to least_outstanding in overload" in text.replace(
        "the environment as trained and ", ""
    )
    with (folder / "report" / "figures" / "categories.csv").open() as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"as trained, cold", "as trained, warm", "overload, cold", "overload, warm"}
    assert float(rows["overload, warm"]["high"]) < float(rows["as trained, warm"]["low"])


def test_the_verdict_is_of_the_environment_as_trained(folder, tmp_path):
    plain = write_run(tmp_path)
    for_all, alone = (outcomes_of(read_run(path)).rows for path in (folder, plain))
    assert json.dumps([row.values("episode_return").tolist() for row in for_all]) == json.dumps(
        [row.values("episode_return").tolist() for row in alone]
    )


def test_the_verdict_tells_of_the_other_categories(folder):
    head, body = categories_sentences(read_run(folder))
    assert head == "In 1 category besides the environment as trained, no policies beat least_outstanding."
    assert body == "All of them lose to least_outstanding in overload."


def test_the_verdict_tells_policies_apart_that_fare_differently(tmp_path):
    head, body = categories_sentences(read_run(write_categories(tmp_path, warm=-500.0)))
    assert head == (
        "Besides the environment as trained, cold policies beat least_outstanding in 0 of 1 category and "
        "warm policies in 1."
    )
    assert body == (
        "Cold policies lose to least_outstanding in overload. "
        "Warm policies beat least_outstanding in overload."
    )


def test_without_other_categories_the_verdict_says_nothing_of_them(tmp_path):
    assert categories_sentences(read_run(write_run(tmp_path))) is None
