"""The file of every evaluated episode."""

import csv
import io

import pytest

from rayrl.evaluation.result import join_categories, load_result
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.report import build_report
from rayrl.report.episodes import episodes_csv
from rayrl.report.run_reader import read_run
from tests.report.run_folder import EPISODES, write_run


def rows_of(run):
    return list(csv.DictReader(io.StringIO(episodes_csv(read_run(run)))))


def test_everyone_has_a_row_for_each_episode(tmp_path):
    run = write_run(tmp_path)
    rows = rows_of(run)
    # Three seeds of two conditions and of pretrained policies, and four demonstrators.
    assert len(rows) == (3 * 2 + 3 + 4) * EPISODES
    name = "mlp_baseline/with_pretrain/seed_1"
    mine = [row for row in rows if row["name"] == name]
    result = load_result(run / name / "eval_results.json")
    assert [float(row["episode_return"]) for row in mine] == pytest.approx(result.values("episode_return"))
    assert [int(row["episode_seed"]) for row in mine] == [*result.seeds]
    first = {key: mine[0][key] for key in ("kind", "architecture", "condition", "seed", "category", "level")}
    assert [*first.values()] == ["trained", "mlp_baseline", "with_pretrain", "1", "as_trained", ""]
    (program,) = {tuple(row[key] for key in first) for row in rows if row["name"] == "random"}
    assert program == ("demonstrator", "", "", "", "as_trained", "")
    text = (build_report(run).parent / "episodes.csv").read_text()
    assert text == episodes_csv(read_run(run))
    assert "episodes.csv beside this page" in (run / "report" / "report.html").read_text()


def test_levels_categories_and_what_was_raised(tmp_path):
    run = write_run(tmp_path, architectures=["mlp_baseline"], conditions=["no_pretrain"], seeds=[0])
    file = run / "mlp_baseline/no_pretrain/seed_0/eval_results.json"
    plain = load_result(file).of_seeds({0, 1})
    hard = plain.model_copy(
        update={
            "levels": ("hard_0", "hard_1"),
            "errors": (None, "ValueError: no, really"),
            "metrics": {"episode_return": (1.5, None), "error": (0.0, 1.0)},
        }
    )
    join_categories({AS_TRAINED: plain, "hard": hard}).save(file)
    rows = [row for row in rows_of(run) if row["kind"] == "trained"]
    keys = ("category", "level", "episode_seed", "error", "raised")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("as_trained", "", "0", "", ""),
        ("as_trained", "", "1", "", ""),
        ("hard", "hard_0", "0", "0.0", ""),
        ("hard", "hard_1", "1", "1.0", "ValueError: no, really"),
    ]
    assert [row["episode_return"] for row in rows[2:]] == ["1.5", ""]
