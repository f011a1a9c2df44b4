"""How far a run is, as its folder alone tells."""

import pytest

from rayrl.errors import RunError, TrainingError
from rayrl.pipeline.execution import run_unit
from rayrl.pipeline.lock import Holder, hold
from rayrl.pipeline.stages import plan
from rayrl.pipeline.status import dashboard_access, run_status
from rayrl.pipeline.stop import request_stop
from rayrl.pipeline.trial import TrialState, write_trial


def states(folder):
    return [(unit.stage, unit.state) for unit in run_status(folder).stages]


def test_each_stage_is_waiting_running_done_stopped_or_failed(prepared):
    folder, experiment = prepared("train.options={to: 3, fail_at: 2}")
    count, page = plan(experiment)
    assert states(folder) == [("count", "waiting"), ("page", "waiting")]

    with pytest.raises(TrainingError):
        run_unit(count, folder, experiment)
    status = run_status(folder)
    assert (status.stages[0].state, status.controller) == ("failed", None)
    assert "seven is unlucky" in status.stages[0].detail

    request_stop(folder, "a test")
    run_unit(count, folder, experiment)
    assert states(folder)[0] == ("count", "stopped")
    folder.stop_file.unlink()

    with hold(folder.stage("count") / "lock"), hold(folder.lock_file):
        status = run_status(folder)
    assert status.stages[0].state == "running"
    assert status.controller.startswith("process ")

    run_unit(count, folder, experiment)
    run_unit(page, folder, experiment)
    assert states(folder) == [("count", "done"), ("page", "done")]


def test_a_running_stage_shows_its_newest_progress(prepared):
    folder, experiment = prepared("train.options={to: 3, fail_at: 3}")
    with pytest.raises(TrainingError):
        run_unit(plan(experiment)[0], folder, experiment)
    with hold(folder.stage("count") / "lock"):
        assert run_status(folder).stages[0].detail == "3 of 3 numbers, square 9"


def test_a_trial_that_was_killed_is_not_running(prepared):
    folder, _ = prepared()
    common = {"architecture": "a", "condition": "no_pretrain", "step": 5, "total_steps": 10, "metrics": {}}
    for seed, state in enumerate(("running", "finished")):
        write_trial(folder, TrialState(**common, seed=seed, state=state))
    with hold(folder.stage("train") / "lock"):
        assert [trial.state for trial in run_status(folder).trials] == ["running", "finished"]
    assert [trial.state for trial in run_status(folder).trials] == ["stopped", "finished"]


def test_only_a_run_with_a_private_ray_here_has_a_dashboard_of_its_own(prepared):
    folder, _ = prepared()
    with pytest.raises(RunError, match="no private Ray on this machine now"):
        dashboard_access(folder)
    with hold(folder.lock_file) as lock:
        with pytest.raises(RunError, match="no private Ray on this machine now"):
            dashboard_access(folder)
        lock.record(Holder(ray_temp=str(folder.path / "none")))
        with pytest.raises(RunError, match="does not answer"):
            dashboard_access(folder)
        lock.record(Holder(host="elsewhere", ray_temp="/tmp"))
        with pytest.raises(RunError, match="no private Ray on this machine now"):
            dashboard_access(folder)
