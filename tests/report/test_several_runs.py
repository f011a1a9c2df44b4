"""Several runs in one page."""

import csv
import html
import json
import re

import pytest

from rayrl.errors import ConfigError, StorageError
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report import build_report, compare_runs
from rayrl.report.sections import runs_compared
from rayrl.report.several_runs import read_several_runs
from tests.evaluation.results import result_of
from tests.report.run_folder import write_experiment, write_json, write_lines, write_run


def words(blocks):
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", "".join(map(str, blocks)))))


def write_small(path, returns_by_seed, *, lr=3e-4, level=0.0, seeds=(5, 6)):
    """A cold run of two episodes per policy, with a learning curve that stays at one level."""
    train = {"algorithm": "ppo", "total_steps": 1000, "options": {"lr": lr}}
    write_experiment(
        path, name="small", seeds=[*returns_by_seed], conditions=["no_pretrain"], train=train,
        collect={"demonstrators": {}},
    )  # fmt: skip
    for seed, returns in returns_by_seed.items():
        folder = path / "mlp_baseline" / "no_pretrain" / f"seed_{seed}"
        rows = [{"step": step, "episode_return_mean": level} for step in (500, 1000)]
        write_lines(folder / "progress.jsonl", rows)
        write_json(folder / "trial.json", {"state": "finished", "step": 1000, "total_steps": 1000})
        result_of(returns, seeds=list(seeds)).save(folder / "eval_results.json")
    file = path / "evaluate" / "demonstrators" / "random.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    returns = [0.0, 1.0, 2.0][: len(seeds)]
    result_of(returns, name="random", kind="demonstrator", seeds=list(seeds)).save(file)
    return path


@pytest.fixture
def two(tmp_path):
    a = write_small(tmp_path / "a", {0: [1.0, 3.0], 1: [2.0, 4.0], 2: [3.0, 5.0]})
    b = write_small(tmp_path / "b", {0: [2.0, 4.0], 1: [4.0, 6.0], 2: [6.0, 8.0]}, lr=1e-3, level=4.0)
    return a, b


def test_results_of_the_same_episodes_are_paired(two):
    comparison = read_several_runs(two)
    outcomes = comparison.outcomes(AS_TRAINED)
    # What acting at random gave is the same in both, and stands there once.
    assert [row.label for row in outcomes.rows] == ["A cold", "B cold", "random"]
    assert outcomes.unpaired == ()
    first, second, _ = outcomes.rows
    # Episode by episode, means over seeds: (4, 6) − (2, 4).
    assert second.difference(first, "episode_return").value == 2.0
    assert [group.style for group in comparison.groups()] == [0, 1]


def test_a_longer_evaluation_is_compared_over_the_episodes_of_a_shorter_one(tmp_path):
    a = write_small(tmp_path / "a", {0: [1.0, 3.0]})
    b = write_small(tmp_path / "b", {0: [2.0, 4.0, 1000.0]}, seeds=(5, 6, 7))
    comparison = read_several_runs([a, b])
    outcomes = comparison.outcomes(AS_TRAINED)
    assert [row.label for row in outcomes.rows] == ["A cold", "B cold", "random"]
    assert outcomes.rows[1].difference(outcomes.rows[0], "episode_return").value == 1.0
    assert "Seed by seed, the difference is +1 (1 shared seed)." in words(runs_compared.compare(comparison))


def test_the_finding_is_over_episodes_and_over_seeds(two):
    text = words(runs_compared.compare(read_several_runs(two)))
    assert "B cold against A cold: no difference is shown." in text
    assert "Over the same episodes, B cold policies return +2 against A cold ones" in text
    # Differences of the seeds 1, 2 and 3: 2 ± 4.30265 / √3.
    assert "Seed by seed, the difference is +2.0 (95 % interval −0.5 to 4.5, 3 shared seeds)." in text
    assert (
        "While training, at equal steps, the difference is +4 (95 % interval 4 to 4, 3 shared seeds)." in text
    )


def test_only_options_that_differ_are_shown(two):
    blocks = list(runs_compared.options_that_differ(read_several_runs(two)))
    assert re.findall(r"<td>([^<]*)</td>", blocks[-1]) == ["0.0003", "0.001"]
    assert "total_steps" not in blocks[-1]
    same = list(runs_compared.options_that_differ(read_several_runs([two[0], write_small_copy(two[0])])))
    assert "are the same in all runs." in words(same)


def write_small_copy(path):
    return write_small(path.with_name("copy"), {0: [1.0, 3.0], 1: [2.0, 4.0], 2: [3.0, 5.0]})


def test_results_of_other_episodes_are_shown_by_themselves(tmp_path):
    a = write_small(tmp_path / "a", {0: [1.0, 3.0]})
    b = write_small(tmp_path / "b", {0: [2.0, 4.0]}, seeds=(8, 9))
    comparison = read_several_runs([a, b])
    outcomes = comparison.outcomes(AS_TRAINED)
    assert [row.label for row in outcomes.rows] == ["A cold", "A random"]
    assert [row.label for row in outcomes.unpaired] == ["B cold", "B random"]
    assert "no pair of policies was evaluated on the same episodes" in words(
        runs_compared.compare(comparison)
    )
    page = compare_runs([a, b], tmp_path / "out").read_text()
    assert "Of other episodes than the above" in page


def test_the_page_has_the_sections_of_a_report(tmp_path):
    a = write_run(tmp_path / "a")
    b = write_run(tmp_path / "b", train={"algorithm": "ppo", "total_steps": 100_000, "options": {"lr": 1e-3}})
    record = json.loads((b / "environment.json").read_text())
    record["versions"]["torch"] = "2.14.0"
    write_json(b / "environment.json", record)
    page = compare_runs([a, b], tmp_path / "out")
    text = page.read_text()
    assert re.findall(r"<h2>(.*?)</h2>", text) == [
        "What came out", "Learning curves", "Results", "Where the time went",
        "Configuration, versions, hardware, digests",
    ]  # fmt: skip
    names = {file.name for file in (page.parent / "figures").iterdir()}
    assert {"learning_curves.png", "returns.csv", "time.png", "runs_compared.csv"} <= names
    with (page.parent / "figures" / "learning_curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    means = {row["series"] for row in rows if "seed " not in row["series"]}
    assert means == {"A cold (3 seeds)", "A warm (3 seeds)", "B cold (3 seeds)", "B warm (3 seeds)"}
    assert "versions.torch" in text
    assert "2.13.0" in text
    assert "2.14.0" in text


def test_the_same_run_twice_is_refused(two):
    with pytest.raises(ConfigError, match="is named twice"):
        compare_runs([two[0], two[0]], two[0].parent / "out")


def test_a_folder_with_something_else_is_not_replaced(two, tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.tex").touch()
    for build in (lambda: build_report(two[0], target), lambda: compare_runs(two, target)):
        with pytest.raises(StorageError, match=r"something besides a report: thesis\.tex"):
            build()
    assert (target / "thesis.tex").exists()
    page = build_report(two[0], tmp_path / "new")
    assert build_report(two[0], tmp_path / "new") == page == tmp_path / "new" / "report.html"
