"""Locks: held by an open file, freed when all who have it open are gone."""

import subprocess
import sys
import time

import pytest

from rayrl.errors import RunLockedError
from rayrl.pipeline.lock import Holder, hold, holder_of

HOLD = """
import sys, time
from pathlib import Path
from rayrl.pipeline.lock import hold
with hold(Path(sys.argv[1])) as lock:
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_holder_is_named_to_one_who_does_not_wait(tmp_path, other):
    with pytest.raises(RunLockedError, match=f"held by process {other.pid} on"), hold(tmp_path / "lock"):
        pass
    assert holder_of(tmp_path / "lock").pid == other.pid


def test_one_who_waits_is_told_once_and_goes_on_when_the_holder_is_killed(tmp_path, other):
    told = []

    def kill_soon(holder):
        told.append(holder.pid)
        other.kill()

    with hold(tmp_path / "lock", timeout_s=20, on_wait=kill_soon) as lock:
        assert told == [other.pid]
        assert lock.previous.pid == other.pid
        assert holder_of(tmp_path / "lock") is not None
    assert holder_of(tmp_path / "lock") is None


def test_a_lock_that_nobody_took_has_no_holder(tmp_path):
    assert holder_of(tmp_path / "lock") is None


def test_a_child_that_inherits_the_file_holds_the_lock_on(tmp_path):
    with hold(tmp_path / "lock") as lock:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(lock.descriptor,))
    with child:
        with pytest.raises(RunLockedError), hold(tmp_path / "lock"):
            pass
        child.kill()
        child.wait()
        with hold(tmp_path / "lock"):
            pass


def test_the_next_holder_learns_the_mark_of_the_last_ones_private_ray(tmp_path):
    with hold(tmp_path / "lock") as lock:
        lock.record(Holder(mark="abc", ray_temp="/tmp/x"))
    with hold(tmp_path / "lock") as lock:
        assert (lock.previous.mark, lock.previous.ray_temp) == ("abc", "/tmp/x")


def test_waiting_ends_at_the_limit(tmp_path, other):
    start = time.monotonic()
    with pytest.raises(RunLockedError), hold(tmp_path / "lock", timeout_s=0.5):
        pass
    assert 0.5 <= time.monotonic() - start < 5


def test_a_damaged_record_is_no_obstacle(tmp_path):
    (tmp_path / "lock").write_text("{")
    with hold(tmp_path / "lock") as lock:
        assert lock.previous is None
