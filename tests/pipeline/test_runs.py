"""`rayrl run` from outside: on a private Ray, on a cluster that was started by hand, and in one process."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from pathlib import Path

import counting_stage
import pytest
import requests

from rayrl.errors import ConfigError, ResourceError
from rayrl.pipeline import preflight
from rayrl.pipeline.cluster import connect
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.lock import Holder, hold
from rayrl.pipeline.private_ray import ask_access
from rayrl.pipeline.processes import marked

HOLD = ("--set", "train.options.hold_at=3")
NO_PAGE = ("--set", "train.options.page=false")

LAUNCHER = """
head_node_type: head
max_workers: 1
available_node_types:
  head: {resources: {CPU: 2}, node_config: {}}
  worker: {resources: {CPU: %d}, max_workers: 2, node_config: {}}
"""


CORRIDOR = """
import gymnasium


class Corridor(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,))
    action_space = gymnasium.spaces.Discrete(2)
"""


@pytest.fixture
def jobs(ray_by_hand):
    """The by-hand cluster's Jobs API."""
    _, access = ray_by_hand
    return connect(access.dashboard, access)


@pytest.fixture
def launcher(tmp_path):
    def write(worker_cpus: int):
        file = tmp_path / "launcher.yaml"
        file.write_text(LAUNCHER % worker_cpus)
        return file

    return write


@pytest.fixture
def start(rayrl, file, folder, cluster):
    """Starts `rayrl run` of the counting stage alone on the by-hand cluster."""

    def start(*arguments):
        return rayrl("run", file, "--run-dir", folder, *NO_PAGE, *arguments, env=cluster)

    return start


@pytest.fixture
def corridor(file):
    """The user's own environment, a module beside the experiment file; returns the arguments that take it."""
    file.with_name("corridor.py").write_text(CORRIDOR)
    return "--set", "env.id='corridor:Corridor'"


@pytest.fixture
def held(start, watch):
    """A run on the by-hand cluster that has counted to 3, and waits there."""
    command = start(*HOLD)
    command.until(lambda: watch.count["n"] == 3)
    return command


@pytest.mark.chaos
def test_a_killed_controller_leaves_nothing_and_the_same_command_completes(rayrl, file, folder, watch):
    first = rayrl("run", file, "--run-dir", folder, *HOLD)
    first.until(lambda: watch.count["n"] == 3)
    ray = watch.private_ray()
    assert len(ray.marked()) > 10
    first.send(signal.SIGKILL)
    ray.wait_until_gone()

    (folder / "go").touch()
    # A proxy that is not there must not come between a run and its own Ray.
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    again = rayrl("run", file, "--run-dir", folder, *HOLD, env=proxy)
    assert again.wait() == 0, again.output
    assert (watch.count["n"], watch.count["starts"]) == (6, [0, 3])
    # A private Ray runs where the command was typed.
    assert watch.count["job"] == watch.count["actor"] == [str(file.parent)]
    assert again.output.splitlines()[-1] == str(folder / "report" / "report.html")
    watch.private_ray().wait_until_gone(0.0)

    done = watch.outputs()
    assert rayrl("run", file, "--run-dir", folder, *HOLD).wait() == 0
    assert watch.outputs() == done


def test_a_live_job_is_found_again_and_a_finished_one_is_not_repeated(held, start, folder, watch, jobs):
    held.send(signal.SIGKILL)
    held.wait()
    again = start(*HOLD)
    again.until(lambda: f"job {watch.job} found running" in again.output)
    (folder / "go").touch()
    assert again.wait() == 0, again.output
    assert watch.job.endswith("-count-1")
    assert (watch.count["n"], watch.count["starts"]) == (6, [0])
    job = jobs.find_job(watch.job)
    assert job.status == "SUCCEEDED"
    assert "counting_stage.py" in job.entrypoint
    log = (folder / "logs" / "count.log").read_text()
    assert log.startswith(f"=== {watch.job} ===\n")
    assert log.count("finished in") == 1

    assert start(*HOLD).wait() == 0
    assert jobs.find_job(watch.job.removesuffix("1") + "2") is None


@pytest.mark.slow
def test_of_two_runs_of_a_folder_the_second_waits_and_then_finds_all_done(held, start, folder, watch):
    second = start(*HOLD)
    second.until(lambda: f"held by process {held.process.pid} on" in second.output)
    (folder / "go").touch()
    assert (held.wait(), second.wait()) == (0, 0)
    assert (watch.count["n"], watch.count["starts"]) == (6, [0])
    assert "count: done already" in second.output


def test_ctrl_c_lets_the_stage_write_its_checkpoint(held, start, folder, watch, jobs):
    held.send(signal.SIGINT)
    assert held.wait() == 130
    assert "stopping at the next checkpoint" in held.output
    assert watch.records("count")[-1]["event"] == "stopped"
    assert jobs.find_job(watch.job).status == "SUCCEEDED"
    again = start()
    assert again.wait() == 0, again.output
    assert (watch.count["n"], watch.count["starts"]) == (6, [0, 3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("fill_disk_at=3", "large: could not write a large file: the file would exceed the size limit"),
        ("fail_at=3", "error: train.options.fail_at: seven is unlucky\n  count elsewhere"),
        ("crash_at=3", "error: stage count: ZeroDivisionError: on purpose"),
    ],
)
def test_a_failed_stage_says_why_and_the_next_attempt_goes_on(start, watch, fault, message):
    failed = start("--set", f"train.options.{fault}", "--set", "train.options.file_size_limit=1000000")
    assert failed.wait() == 1
    assert message in failed.output
    assert "Traceback" not in failed.output
    again = start()
    assert again.wait() == 0, again.output
    assert watch.job.endswith("-count-2")
    assert (watch.count["n"], watch.count["starts"]) == (6, [0, 3])


def test_a_cluster_that_refuses_the_token_is_named(rayrl, file, folder, cluster):
    refused = rayrl("run", file, "--run-dir", folder, env=cluster | {"RAY_AUTH_TOKEN": "0" * 64})
    assert refused.wait(60) == 1
    address = cluster["RAY_API_SERVER_ADDRESS"]
    assert f"error: --address {address}: the cluster wants a token: Authentication failed" in refused.output
    assert not folder.exists()


def test_the_users_module_reaches_the_cluster_and_no_job_holds_a_gpu(start, corridor, watch, tmp_path, jobs):
    (tmp_path / ".rayignore").write_text("*.secret\n")
    (tmp_path / "token.secret").write_text("secret")
    run = start(*corridor)
    assert run.wait() == 0, run.output
    assert "files of" in run.output
    assert "; without" in run.output
    assert "token.secret" in run.output
    # Nodes that do not share the folder are no failure of a stage.
    assert run.output.index("asking 1 node whether they share") < run.output.index("count: runs, because")
    for home, module in (watch.count["job"], watch.count["actor"]):
        assert module == f"{home}/corridor.py"
        assert "_ray_pkg_" in home
    assert watch.count["free"]["GPU"] == 1.0
    assert jobs.find_job(watch.job).metadata["run"] == watch.job.removesuffix("-count-1")
    assert not list(watch.folder.rglob(".mark*"))


def test_rays_own_command_runs_a_stage_with_the_users_module(
    corridor, file, folder, watch, cluster, tmp_path
):
    script = Path(counting_stage.__file__)
    stage = [sys.executable, script, file.name, "--run-dir", folder, *corridor, "--set", "train.options.to=2"]
    # Ray puts neither the caller's PYTHONPATH nor the script's folder on the workers' path.
    path = json.dumps({"env_vars": {"PYTHONPATH": str(script.parent)}})
    submit = ["job", "submit", "--working-dir", ".", "--runtime-env-json", path, "--", *map(str, stage)]
    done = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *submit],
        cwd=tmp_path,
        env=os.environ | cluster,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert watch.count["n"] == 2, done.stdout + done.stderr
    assert "_ray_pkg_" in watch.count["job"][1]
    assert watch.count["actor"] == watch.count["job"]
    assert not list(folder.rglob(".mark*"))


def test_local_runs_all_stages_in_one_process(rayrl, file, folder, watch):
    local = rayrl("run", file, "--run-dir", folder, "--local")
    assert local.wait() == 0, local.output
    assert watch.driver_pid() == local.process.pid
    assert local.output.splitlines()[-1] == str(folder / "report" / "report.html")


def test_a_cluster_has_room_or_may_grow_or_refuses_or_is_not_known(
    file, jobs, launcher, tmp_path, monkeypatch
):
    monkeypatch.setattr(preflight, "BOOTSTRAP_FILE", tmp_path / "bootstrap.yaml")
    assert jobs.nodes() == [{"CPU": 2.0, "GPU": 1.0}]
    small, large = load_experiment(file), load_experiment(file, ["train.env_runners=3"])
    assert preflight.check_cluster(small, jobs, None) is None
    assert "fails after 600 s without room" in preflight.check_cluster(large, jobs, None)
    assert preflight.check_cluster(large, jobs, launcher(2)) is None
    with pytest.raises(ResourceError, match=r"launcher\.yaml: a trial cannot be placed: missing 1 CPU \("):
        preflight.check_cluster(large, jobs, launcher(1))
    with pytest.raises(ConfigError):
        preflight.check_cluster(large, jobs, tmp_path / "none.yaml")

    # What the launcher left on the head node is read without being named.
    launcher(1).rename(tmp_path / "bootstrap.yaml")
    with pytest.raises(ResourceError, match=r"bootstrap\.yaml"):
        preflight.check_cluster(large, jobs, None)


def test_only_the_same_user_gets_the_token_of_a_private_ray(ray_by_hand):
    ray, access = ray_by_hand
    assert ask_access(ray.temp) == access
    assert stat.S_IMODE((ray.temp / "access").stat().st_mode) == 0o600
    assert stat.S_IMODE(ray.temp.stat().st_mode) == 0o700
    assert requests.get(f"{access.dashboard}/api/jobs/", timeout=10).status_code == 401
    lines = [argument for process in marked(ray.mark) for argument in process.cmdline()]
    assert len(lines) > 50
    assert not any(access.token in line for line in lines)


def test_url_and_token_are_shown_on_a_terminal(ray_by_hand, prepared):
    ray, access = ray_by_hand
    folder, _ = prepared()
    terminal, theirs = pty.openpty()
    with hold(folder.lock_file) as lock:
        lock.record(Holder(ray_temp=str(ray.temp)))
        command = [sys.executable, "-m", "rayrl.cli.main", "status", str(folder), "--dashboard"]
        assert subprocess.call(command, stdout=theirs) == 0
    assert os.read(terminal, 4096).decode().split() == [access.dashboard, "token:", access.token]
    os.close(terminal)
    os.close(theirs)


@pytest.mark.chaos
def test_the_drivers_death_is_a_failed_attempt(held, start, watch):
    watch.driver().kill()
    assert held.wait() == 1
    assert f"job {watch.job} failed without saying why" in held.output
    again = start()
    assert again.wait() == 0, again.output
    assert watch.job.endswith("-count-2")


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(start, watch):
    hanging = start("--set", "train.options.delay=1000")
    hanging.until(lambda: watch.count["n"] == 1)
    hanging.send(signal.SIGINT)
    hanging.until(lambda: "once more ends at once" in hanging.output)
    hanging.send(signal.SIGINT)
    assert hanging.wait(20) == 130
    watch.driver().kill()


@pytest.mark.slow
def test_rayrl_stop_ends_a_run_that_goes_on_later(held, rayrl, start, folder, watch):
    stop = rayrl("stop", folder)
    assert stop.wait() == 0
    assert f"process {held.process.pid} on" in stop.output
    assert held.wait() == 1
    assert "the run was stopped by rayrl stop\n  the same command goes on" in held.output
    again = start()
    assert again.wait() == 0, again.output
    assert (watch.count["n"], watch.count["starts"]) == (6, [0, 3])


@pytest.mark.slow
def test_ray_job_stop_lets_the_stage_write_its_checkpoint(held, start, watch, jobs):
    jobs.stop_job(watch.job)
    assert held.wait() == 1
    assert f"job {watch.job} stopped without saying why" in held.output
    assert watch.records("count")[-1]["event"] == "stopped"
    again = start()
    assert again.wait() == 0, again.output
    assert watch.job.endswith("-count-2")


@pytest.mark.slow
def test_a_live_job_with_other_options_is_not_taken_for_this_one(held, start, folder, watch):
    held.send(signal.SIGKILL)
    held.wait()
    other = start()
    assert other.wait() == 1
    assert f"job {watch.job} of this run still runs with other options" in other.output
    (folder / "go").touch()


@pytest.mark.slow
def test_without_run_dir_the_unfinished_run_of_the_same_file_and_overrides_goes_on(
    rayrl, file, tmp_path, cluster
):
    arguments = ("run", file, *NO_PAGE, "--set", "train.options.fail_at=3")
    assert rayrl(*arguments, env=cluster).wait() == 1
    assert rayrl(*arguments, env=cluster).wait() == 0
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert rayrl("run", file, *NO_PAGE, env=cluster).wait() == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2
