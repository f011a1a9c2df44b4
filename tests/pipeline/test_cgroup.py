"""Limits of control groups, of both versions, as Linux writes them."""

import pytest

from rayrl.pipeline.cgroup import cpu_limit, memory_limit, memory_used, oom_kills


@pytest.fixture
def group(tmp_path):
    """Writes files of groups, and which group this process is in."""

    def write(membership: str, files: dict[str, str]):
        for name, text in files.items():
            (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "fs" / name).write_text(text)
        (tmp_path / "cgroup").write_text(membership)
        return tmp_path / "fs", tmp_path / "cgroup"

    return write


def test_version_2_the_smallest_limit_of_all_groups_around_holds(group):
    files = {
        "cpu.max": "max 100000\n",
        "a/cpu.max": "150000 100000\n",
        "a/b/cpu.max": "400000 100000\n",
        "a/memory.max": "1000\n",
        "a/memory.current": "700\n",
        "a/memory.stat": "anon 300\ninactive_file 400\n",
        "a/b/memory.max": "max\n",
        "a/b/memory.current": "1\n",
    }
    where = group("0::/a/b\n", files)
    assert cpu_limit(*where) == 1.5
    assert memory_limit(*where) == 1000
    assert memory_used(*where) == 300


def test_version_2_in_a_container_that_sees_only_its_own_group(group):
    where = group("0::/system.slice/docker-1f.scope\n", {"cpu.max": "50000 100000\n"})
    assert cpu_limit(*where) == 0.5


def test_version_1(group):
    files = {
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "cpu/job/cpu.cfs_quota_us": "250000\n",
        "cpu/job/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/job/memory.limit_in_bytes": "2048\n",
        "memory/job/memory.usage_in_bytes": "1024\n",
        "memory/job/memory.stat": "cache 9\ntotal_inactive_file 24\n",
    }
    where = group("4:memory:/job\n1:cpu,cpuacct:/job\n0::/\n", {})
    assert (cpu_limit(*where), memory_limit(*where), memory_used(*where)) == (None, None, None)
    where = group("4:memory:/job\n1:cpu:/job\n0::/\n", files)
    assert (cpu_limit(*where), memory_limit(*where), memory_used(*where)) == (2.5, 2048, 1000)


def test_without_control_groups_there_is_no_limit(tmp_path):
    where = tmp_path / "fs", tmp_path / "cgroup"
    assert (cpu_limit(*where), memory_limit(*where), memory_used(*where)) == (None, None, None)


def test_processes_that_the_kernel_ended(group):
    assert oom_kills(*group("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"})) == 0
    of_both = {"a/memory.events": "oom 9\noom_kill 7\n", "a/b/memory.events": "oom 4\noom_kill 3\n"}
    assert oom_kills(*group("0::/a/b\n", of_both)) == 3


def test_processes_that_the_kernel_ended_in_version_1(group):
    control = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"
    assert oom_kills(*group("5:memory:/job\n", {"memory/job/memory.oom_control": control})) == 2
