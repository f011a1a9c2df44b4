"""`rayrl run` from outside: on a private Ray, on a cluster that was started by hand, and in one process."""

import signal

import pytest

from rayrl.pipeline.cluster import connect
from rayrl.pipeline.private_ray import Access


@pytest.fixture
def jobs(cluster):
    """The by-hand cluster's Jobs API."""
    return connect(
        cluster["RAY_API_SERVER_ADDRESS"],
        Access(cluster["RAY_API_SERVER_ADDRESS"], cluster["RAY_AUTH_TOKEN"]),
    )


def test_a_killed_controller_leaves_nothing_and_the_same_command_completes(rayrl, file, folder, watch):
    first = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=40")
    first.until(lambda: watch.count["n"] > 2)
    ray = watch.private_ray()
    assert len(ray.marked()) > 10
    first.send(signal.SIGKILL)
    ray.wait_until_gone()
    reached = watch.count["n"]

    again = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=40")
    assert again.wait() == 0, again.output
    assert watch.count == {"n": 40, "starts": [0, reached]}
    assert again.output.splitlines()[-1] == str(folder / "report" / "report.html")
    watch.private_ray().wait_until_gone(0.0)

    done = watch.outputs()
    assert rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=40").wait() == 0
    assert watch.outputs() == done


def test_a_live_job_is_found_again_and_a_finished_one_is_not_repeated(
    rayrl, file, folder, watch, cluster, jobs
):
    first = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=60", env=cluster)
    first.until(lambda: watch.count["n"] > 2)
    first.send(signal.SIGKILL)
    first.wait()

    again = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=60", env=cluster)
    assert again.wait() == 0, again.output
    assert f"job {watch.job} found running" in again.output
    assert watch.job.endswith("-count-1")
    assert watch.count == {"n": 60, "starts": [0]}
    assert jobs.find_job(watch.job).status == "SUCCEEDED"

    assert rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=60", env=cluster).wait() == 0
    assert jobs.find_job(watch.job.removesuffix("1") + "2") is None


def test_a_live_job_with_other_options_is_not_taken_for_this_one(rayrl, file, folder, watch, cluster, jobs):
    first = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=600", env=cluster)
    first.until(lambda: watch.count["n"] > 2)
    first.send(signal.SIGKILL)
    first.wait()
    other = rayrl("run", file, "--run-dir", folder, env=cluster)
    assert other.wait() == 1
    assert f"job {watch.job} of this run still runs with other options" in other.output
    jobs.stop_job(watch.job)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fail_at=3", "error: train.options.fail_at: seven is unlucky\n  count elsewhere"),
        ("crash_at=3", "error: stage count: ZeroDivisionError: on purpose"),
        ("fill_disk_at=3", "large: could not write a large file: the file would exceed the size limit"),
    ],
)
def test_a_failed_stage_says_why_and_the_next_attempt_goes_on(
    rayrl, file, folder, watch, cluster, fault, message
):
    limit = ["--set", "train.options.file_size_limit=1000000"] if "disk" in fault else []
    failed = rayrl("run", file, "--run-dir", folder, "--set", f"train.options.{fault}", *limit, env=cluster)
    assert failed.wait() == 1
    assert message in failed.output
    assert "Traceback" not in failed.output

    again = rayrl("run", file, "--run-dir", folder, env=cluster)
    assert again.wait() == 0, again.output
    assert watch.job.endswith("-count-2")
    assert watch.count == {"n": 6, "starts": [0, 3]}


def test_the_drivers_death_is_a_failed_attempt(rayrl, file, folder, watch, cluster):
    first = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=600", env=cluster)
    first.until(lambda: watch.count["n"] > 2)
    watch.driver().kill()
    assert first.wait() == 1
    assert f"job {watch.job} failed without saying why" in first.output
    again = rayrl("run", file, "--run-dir", folder, env=cluster)
    assert again.wait() == 0, again.output
    assert watch.job.endswith("-count-2")


def test_ctrl_c_lets_the_stage_write_its_checkpoint(rayrl, file, folder, watch, cluster, jobs):
    first = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=600", env=cluster)
    first.until(lambda: watch.count["n"] > 2)
    first.send(signal.SIGINT)
    assert first.wait() == 130
    assert "stopping at the next checkpoint" in first.output
    assert watch.records("count")[-1]["event"] == "stopped"
    assert jobs.find_job(watch.job).status == "SUCCEEDED"
    reached = watch.count["n"]
    again = rayrl("run", file, "--run-dir", folder, "--set", f"train.options.to={reached + 3}", env=cluster)
    assert again.wait() == 0, again.output
    assert watch.count == {"n": reached + 3, "starts": [0, reached]}


def test_a_second_ctrl_c_ends_at_once(rayrl, file, folder, watch, cluster, jobs):
    first = rayrl("run", file, "--run-dir", folder, "--set", "train.options.delay=100", env=cluster)
    first.until(lambda: watch.count["n"] == 1)
    first.send(signal.SIGINT)
    first.until(lambda: "once more ends at once" in first.output)
    first.send(signal.SIGINT)
    assert first.wait(20) == 130
    watch.driver().kill()


def test_rayrl_stop_ends_a_run_that_goes_on_later(rayrl, file, folder, watch, cluster):
    first = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=600", env=cluster)
    first.until(lambda: watch.count["n"] > 2)
    stop = rayrl("stop", folder)
    assert stop.wait() == 0
    assert f"process {first.process.pid} on" in stop.output
    assert first.wait() == 1
    assert "error: " in first.output
    assert "the run was stopped by rayrl stop" in first.output
    again = rayrl("run", file, "--run-dir", folder, env=cluster)
    assert again.wait() == 0, again.output


def test_a_second_run_of_a_folder_waits_and_then_finds_all_done(rayrl, file, folder, watch, cluster):
    first = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=40", env=cluster)
    first.until(lambda: watch.count["n"] > 2)
    second = rayrl("run", file, "--run-dir", folder, "--set", "train.options.to=40", env=cluster)
    second.until(lambda: f"held by process {first.process.pid} on" in second.output)
    assert (first.wait(), second.wait()) == (0, 0)
    assert watch.count == {"n": 40, "starts": [0]}
    assert "count: done already" in second.output


def test_a_cluster_that_refuses_the_token_is_named(rayrl, file, folder, cluster):
    refused = rayrl("run", file, "--run-dir", folder, env=cluster | {"RAY_AUTH_TOKEN": "0" * 64})
    assert refused.wait(30) == 1
    assert (
        f"error: --address {cluster['RAY_API_SERVER_ADDRESS']}: the cluster does not answer" in refused.output
    )
    assert not folder.exists()


def test_without_run_dir_the_unfinished_run_of_the_same_file_and_overrides_goes_on(
    rayrl, file, tmp_path, cluster
):
    override = ("--set", "train.options.fail_at=3")
    assert rayrl("run", file, *override, env=cluster).wait() == 1
    assert rayrl("run", file, *override, env=cluster).wait() == 0
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert rayrl("run", file, env=cluster).wait() == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_local_runs_all_stages_in_one_process(rayrl, file, folder, watch):
    local = rayrl("run", file, "--run-dir", folder, "--local")
    assert local.wait() == 0, local.output
    assert watch.driver_pid() == local.process.pid
    assert local.output.splitlines()[-1] == str(folder / "report" / "report.html")
