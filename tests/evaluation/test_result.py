import json

import pytest

from rayrl.errors import IntegrityError
from rayrl.evaluation.result import load_result
from rayrl.evaluation.table import summary_table
from tests.evaluation.results import result_of


def saved(tmp_path, **changes):
    path = tmp_path / "eval_results.json"
    result_of([1.0, 2.0, 6.0], latency=[0.5, float("nan"), float("inf")]).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_a_result_comes_back_from_disk(tmp_path):
    result = result_of([1.0, 2.0, 6.0], latency=[0.5, float("nan"), float("inf")])
    loaded = load_result(saved(tmp_path))
    assert loaded == result
    assert loaded.metrics["latency"] == (0.5, None, None)


def test_the_file_holds_the_summary(tmp_path):
    value = json.loads(saved(tmp_path).read_text())
    assert value["format_version"] == "1.0"
    assert value["metrics"]["episode_return"] == [1.0, 2.0, 6.0]
    summary = value["summary"]["episode_return"]
    assert (summary["n"], summary["mean"], summary["median"]) == (3, 3.0, 2.0)
    assert value["summary"]["latency"]["n"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": "2.0"}, "format version '2.0' is not known"),
        ({"seeds": [0, 1]}, "episode_return has not one value for each of the seeds"),
        ({"seeds": "all"}, "seeds"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, changes, message):
    with pytest.raises(IntegrityError, match=message):
        load_result(saved(tmp_path, **changes))


def test_a_missing_or_torn_file_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match="is missing"):
        load_result(tmp_path / "eval_results.json")
    path = saved(tmp_path)
    path.write_text(path.read_text()[:100])
    with pytest.raises(IntegrityError, match="not valid JSON"):
        load_result(path)


def test_the_summary_as_text():
    lines = summary_table(result_of([1.0, 1.0])).splitlines()
    assert lines[0] == "least_outstanding on Test-v0: 2 episodes, seed 0"
    assert lines[1].split() == ["mean", "95", "%", "interval", "std", "median"]
    assert lines[2].split() == ["episode_return", "1", "[1,", "1]", "0", "1"]
    assert len({len(line) for line in lines[1:]}) == 1
    assert summary_table(result_of([1.0])).splitlines()[2].split() == ["episode_return", "1", "–", "–", "1"]
