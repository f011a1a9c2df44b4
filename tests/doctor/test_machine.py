"""CPUs, memory, object store and disks: what the numbers mean, and what is seen of this machine."""

import os
from pathlib import Path

import psutil
import pytest
from ray._private import ray_constants

from rayrl.doctor import machine
from rayrl.doctor.machine import (
    check_cpus,
    check_disk,
    check_memory,
    check_object_store,
    judge_cpus,
    judge_disk,
    judge_memory,
    judge_object_store,
)

GIB = 2**30


@pytest.mark.parametrize(
    ("numbers", "state", "message"),
    [
        ({}, "ok", "64 CPUs"),
        ({"limit": 4.0, "usable": 4}, "ok", "4 of the machine's 64 CPUs: the control group's quota is 4"),
        ({"limit": 2.5, "usable": 2}, "ok", "2 of the machine's 64 CPUs: the control group's quota is 2.5"),
        ({"allowed": 8, "usable": 8}, "ok", "8 of the machine's 64 CPUs: the CPU affinity allows no others"),
        ({"load": 50.04}, "warning", "64 CPUs; other processes keep 50.0 CPUs busy"),
    ],
)
def test_cpus(numbers, state, message):
    given = {"there": 64, "allowed": 64, "limit": None, "usable": 64, "load": 0.1} | numbers
    finding = judge_cpus(**given)
    assert (finding.state, finding.message) == (state, message)
    assert (finding.remedy is None) == (state == "ok")


def test_the_control_groups_limit_on_memory_counts():
    roomy = judge_memory(total=64 * GIB, available=60 * GIB, limit=None, used=None)
    assert (roomy.state, roomy.message) == ("ok", "60.0 GiB available of 64.0 GiB")
    tight = judge_memory(total=64 * GIB, available=60 * GIB, limit=4 * GIB, used=3 * GIB)
    assert tight.state == "problem"
    assert tight.message == "1.0 GiB available: the control group may use 4.0 GiB of 64.0 GiB"
    assert "raise the limit" in tight.remedy


def test_an_object_store_that_does_not_fit_into_shared_memory():
    """30 % of 16 GiB is 4.8 GiB; Docker gives 64 MiB unless asked for more."""
    docker = judge_object_store(memory=16 * GIB, shared=64 << 20)
    assert docker.state == "warning"
    assert docker.message.startswith("/dev/shm has 0.1 GiB for an object store of 4.8 GiB")
    assert "--shm-size=6g" in docker.remedy
    assert judge_object_store(memory=16 * GIB, shared=8 * GIB).state == "ok"


def test_the_object_stores_size_is_what_ray_would_choose():
    assert machine.STORE_SHARE == ray_constants.DEFAULT_OBJECT_STORE_MEMORY_PROPORTION
    assert machine.STORE_CAP == ray_constants.REQUIRE_SHM_SIZE_THRESHOLD
    # With 100 GiB of memory and 20 GiB of shared memory: 0.95 × 20 GiB, as it is less than 30 GiB.
    assert judge_object_store(memory=100 * GIB, shared=20 * GIB).facts["wanted"] == 19 * GIB


@pytest.mark.parametrize(("free", "state"), [(100, "ok"), (4, "warning"), (1.9, "warning"), (0.4, "problem")])
def test_disks(free, state):
    finding = judge_disk("/data", "run folders", free=int(free * GIB), total=200 * GIB)
    assert finding.state == state
    assert ("95 % full" in finding.message) == (state != "ok")


def test_a_folder_that_cannot_be_written_to(tmp_path):
    file = tmp_path / "file"
    file.touch()
    finding = check_disk(tmp_path / "not" / "yet" / "there", "run folders")
    assert finding.facts["folder"] == str(tmp_path)
    assert list(tmp_path.iterdir()) == [file]
    if os.geteuid():
        tmp_path.chmod(0o500)
        denied = check_disk(tmp_path, "run folders")
        tmp_path.chmod(0o700)
        assert denied.state == "problem"
        assert denied.message == f"{tmp_path}: could not write run folders: permission denied"


def test_procfs_holds_no_files():
    finding = check_disk(Path("/proc"), "run folders")
    assert finding.state == "problem"
    assert finding.remedy


def test_this_machine():
    assert check_cpus().facts["machine"] == os.cpu_count()
    assert check_memory().facts["total"] == psutil.virtual_memory().total
    assert check_object_store().facts["wanted"] > 0
