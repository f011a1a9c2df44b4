"""A unit in this process: what it needs, when it is done, and what it leaves behind."""

import json
import logging

import pytest

from rayrl.errors import IntegrityError, RunLockedError, StageError, StorageError, TrainingError
from rayrl.pipeline import execution
from rayrl.pipeline.execution import run_unit, signature, why_run
from rayrl.pipeline.lock import hold
from rayrl.pipeline.records import last_records
from rayrl.pipeline.stages import plan
from rayrl.pipeline.stop import request_stop


@pytest.fixture
def units(prepared):
    """The units ``count`` and ``page``, with the folder and experiment to run them in."""

    def make(*overrides):
        folder, experiment = prepared("train.options.delay=0", *overrides)
        count, page = plan(experiment)
        return folder, experiment, count, page

    return make


def events(folder, unit):
    return [record["event"] for record in last_records(folder.logs / f"{unit}.jsonl") if "event" in record]


def test_a_unit_is_done_when_its_manifest_is_there(units):
    folder, experiment, count, page = units()
    assert why_run(count, folder, experiment) == "it has not finished yet"
    assert why_run(page, folder, experiment) == "count has not finished yet"
    assert run_unit(count, folder, experiment)
    assert why_run(count, folder, experiment) is None
    assert run_unit(page, folder, experiment)
    assert why_run(page, folder, experiment) is None
    assert events(folder, "page") == ["started", "finished"]
    assert logging.getLogger("rayrl").handlers == []


def test_a_changed_option_makes_it_run_again_and_so_do_changed_inputs(units):
    folder, experiment, count, page = units()
    for unit in (count, page):
        run_unit(unit, folder, experiment)
    before = signature(count, folder, experiment), signature(page, folder, experiment)

    folder, experiment, count, page = units("train.options.to=8")
    assert why_run(count, folder, experiment) == "option train.options.to was 6, is 8"
    assert why_run(page, folder, experiment) is None
    run_unit(count, folder, experiment)
    assert "input count changed" in why_run(page, folder, experiment)
    after = signature(count, folder, experiment), signature(page, folder, experiment)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_an_option_that_a_stage_does_not_read_changes_nothing(units):
    folder, experiment, count, _ = units()
    run_unit(count, folder, experiment)
    folder, experiment, count, _ = units("evaluate.episodes=3")
    assert why_run(count, folder, experiment) is None


def test_a_unit_whose_inputs_are_not_there_is_refused(units):
    folder, experiment, _, page = units()
    with pytest.raises(StageError, match="it builds on count, which has not finished") as caught:
        run_unit(page, folder, experiment)
    assert "rayrl stage count" in caught.value.remedy


def test_an_altered_input_is_noticed_before_it_is_used(units):
    folder, experiment, count, page = units()
    run_unit(count, folder, experiment)
    file = folder.path / "count" / "count.json"
    file.write_text(file.read_text().replace("6", "7"))
    with pytest.raises(IntegrityError, match="is altered"):
        run_unit(page, folder, experiment)


def test_a_request_to_stop_leaves_a_checkpoint_and_no_manifest(units):
    folder, experiment, count, _ = units()
    request_stop(folder, "a test")
    assert not run_unit(count, folder, experiment)
    assert why_run(count, folder, experiment) == "it has not finished yet"
    assert events(folder, "count")[-1] == "stopped"
    folder.stop_file.unlink()
    assert not run_unit(count, folder, experiment, interrupted=lambda: True)


def test_a_stage_may_not_end_early_of_itself(units, monkeypatch):
    folder, experiment, count, _ = units()
    monkeypatch.setattr(execution, "load", lambda target: lambda context: None)
    with pytest.raises(StageError, match="it ended early without being asked to"):
        run_unit(count, folder, experiment)


def test_a_failure_takes_away_the_old_manifest_and_says_why(units):
    folder, experiment, count, _ = units()
    run_unit(count, folder, experiment)
    folder, experiment, count, _ = units("train.options={to: 9, fail_at: 8}")
    with pytest.raises(TrainingError, match="seven is unlucky"):
        run_unit(count, folder, experiment)
    assert why_run(count, folder, experiment) == "it has not finished yet"
    assert json.loads((folder.path / "count" / "count.json").read_text())["n"] == 8
    (record,) = (r for r in last_records(folder.logs / "count.jsonl") if r.get("event") == "failed")
    assert "traceback" not in record


def test_an_unexpected_exception_becomes_a_stage_error_with_its_traceback_in_the_records(units):
    folder, experiment, count, _ = units("train.options.crash_at=2")
    with pytest.raises(StageError, match="ZeroDivisionError: on purpose") as caught:
        run_unit(count, folder, experiment)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "ZeroDivisionError" in last_records(folder.logs / "count.jsonl")[-1]["traceback"]


def test_what_another_process_raised_is_told_as_it_was_there(units, monkeypatch):
    class FromAfarError(Exception):
        cause = TrainingError("far away")

    def fail(context):
        raise FromAfarError("a long text about actors")

    folder, experiment, count, _ = units()
    monkeypatch.setattr(execution, "load", lambda target: fail)
    with pytest.raises(TrainingError, match="far away"):
        run_unit(count, folder, experiment)


def test_a_full_disk_is_named_wherever_it_was_noticed(units, monkeypatch):
    def fill(context):
        raise OSError(28, "No space left on device")

    folder, experiment, count, _ = units()
    monkeypatch.setattr(execution, "load", lambda target: fill)
    with pytest.raises(StorageError, match="the disk is full"):
        run_unit(count, folder, experiment)


def test_a_unit_runs_once_at_a_time(units, monkeypatch):
    folder, experiment, count, _ = units()
    monkeypatch.setattr(execution, "_LOCK_TIMEOUT_S", 0.3)
    with hold(folder.stage("count") / "lock"), pytest.raises(RunLockedError):
        run_unit(count, folder, experiment)
