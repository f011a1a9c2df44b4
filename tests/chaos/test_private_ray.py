"""Whatever of a run is killed: nothing of it is left, and the same command completes."""

import signal
import time

import psutil
import pytest

pytestmark = pytest.mark.chaos

HOLD = ("--set", "train.options.hold_at=3", "--set", "train.options.page=false")


@pytest.fixture
def running(rayrl, file, folder, watch):
    """A run that has counted to 3 on its private Ray, and waits there."""
    command = rayrl("run", file, "--run-dir", folder, *HOLD)
    command.until(lambda: watch.count["n"] == 3)
    return command


@pytest.fixture
def completes(rayrl, file, folder, watch):
    """Makes sure that the same command goes on from the checkpoint and completes, and leaves nothing."""

    def complete():
        again = rayrl("run", file, "--run-dir", folder, *HOLD)
        # Only then has it ended what is left of the first run, whose job would go on, too.
        again.until(lambda: "starting a private Ray" in again.output)
        (folder / "go").touch()
        assert again.wait() == 0, again.output
        assert (watch.count["n"], watch.count["starts"]) == (6, [0, 3])
        watch.private_ray().wait_until_gone(0.0)

    return complete


def kill(whom: str, running, ray, watch) -> None:
    supervisor, guard = ray.supervisors()
    named = {"controller": psutil.Process(running.process.pid), "supervisor": supervisor, "guard": guard}
    victims = []
    for name in whom.split(" and "):
        if name == "driver":
            victims.append(watch.driver())
        elif name in named:
            victims.append(named[name])
        else:
            victims += [process for process in ray.marked() if process.name().startswith(name)]
    assert victims
    for process in victims:
        process.suspend()
    for process in victims:
        process.kill()


@pytest.mark.parametrize(
    "whom",
    [
        "driver",
        "supervisor",
        "guard",
        "raylet",
        "gcs_server",
        "controller and supervisor",
        "controller and guard",
        "supervisor and guard",
    ],
)
def test_after_a_kill(running, completes, watch, whom):
    ray = watch.private_ray()
    kill(whom, running, ray, watch)
    assert running.wait(90) == (-signal.SIGKILL if "controller" in whom else 1), running.output
    ray.wait_until_gone()
    if "controller" not in whom:
        assert "error: " in running.output
        assert "Traceback" not in running.output
    completes()


def test_what_is_left_when_all_guards_are_killed_at_once_ends_with_the_next_run(running, completes, watch):
    ray = watch.private_ray()
    kill("controller and supervisor and guard", running, ray, watch)
    time.sleep(1)
    assert ray.marked()
    completes()
    ray.wait_until_gone(0.0)


def test_a_controller_killed_while_ray_starts_leaves_nothing(rayrl, file, folder, watch):
    first = rayrl("run", file, "--run-dir", folder)
    first.until(lambda: (folder / ".lock").exists() and "mark" in (folder / ".lock").read_text())
    first.until(lambda: watch.private_ray().mark and len(watch.private_ray().marked()) > 3)
    ray = watch.private_ray()
    first.send(signal.SIGKILL)
    ray.wait_until_gone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_stage_write_its_checkpoint_and_ends_ray(running, completes, watch, number):
    ray = watch.private_ray()
    running.send(number)
    assert running.wait() == 128 + number
    ray.wait_until_gone(0.0)
    assert watch.records("count")[-1]["event"] == "stopped"
    completes()


def test_a_second_ctrl_c_ends_a_stage_that_does_not_stop(rayrl, file, folder, watch):
    hanging = rayrl("run", file, "--run-dir", folder, "--set", "train.options.delay=1000")
    hanging.until(lambda: watch.count["n"] == 1)
    ray = watch.private_ray()
    hanging.send(signal.SIGINT)
    hanging.until(lambda: "once more ends at once" in hanging.output)
    hanging.send(signal.SIGINT)
    assert hanging.wait(20) == 130
    ray.wait_until_gone(0.0)


def test_of_two_runs_of_a_folder_the_second_waits_until_the_firsts_ray_has_ended(
    rayrl, running, file, folder, watch
):
    second = rayrl("run", file, "--run-dir", folder, *HOLD)
    second.until(lambda: f"held by process {running.process.pid} on" in second.output)
    ray = watch.private_ray()
    running.send(signal.SIGKILL)
    second.until(lambda: "starting a private Ray" in second.output)
    ray.wait_until_gone(0.0)
    (folder / "go").touch()
    assert second.wait() == 0, second.output
    assert (watch.count["n"], watch.count["starts"]) == (6, [0, 3])
