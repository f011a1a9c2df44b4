"""The limits that a container or a service manager sets: CPUs and memory of this process's control group.

A limit of any group above counts as well, so the smallest one is what holds. Both versions of Linux' control
groups are read, at their usual places; elsewhere there is no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

_V1_UNLIMITED = 1 << 60
"""Version 1 writes a number close to 2⁶³ for no limit."""


def cpu_limit(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """CPUs' worth of time that the processes of this group get together; None without a limit."""
    limits = [
        quota / period
        for group in _groups(root, membership, "cpu")
        if (found := _cpu_quota(group)) is not None
        for quota, period in [found]
    ]
    return min(limits, default=None)


def memory_limit(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes that the processes of this group may use together; None without a limit."""
    limits = [
        limit
        for group in _groups(root, membership, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _number(group / name)) is not None and limit < _V1_UNLIMITED
    ]
    return min(limits, default=None)


def memory_used(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes that the innermost group with a memory limit uses now, file caches left out."""
    for group in _groups(root, membership, "memory"):
        for limit, usage, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, used = _number(group / limit), _number(group / usage)
            if used is not None and most is not None and most < _V1_UNLIMITED:
                return used - _statistic(group / "memory.stat", cache)
    return None


def oom_kills(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int:
    """Processes of the innermost group that the kernel ended for want of memory; 0 where it is not told."""
    files = (
        file
        for group in _groups(root, membership, "memory")
        for name in ("memory.events", "memory.oom_control")
        if (file := group / name).is_file()
    )
    innermost = next(files, None)
    return 0 if innermost is None else _statistic(innermost, "oom_kill")


def _groups(root: Path, membership: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's group and those above it, for a controller, innermost first."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount = root
        elif controller in controllers.split(","):
            mount = root / controller
        else:
            continue
        inside = Path(path.lstrip("/"))
        # Within a container the path may be the host's, of which only the mounted end is there.
        for group in (inside, *inside.parents):
            if (mount / group).is_dir():
                yield mount / group


def _cpu_quota(group: Path) -> tuple[float, float] | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else (float(quota), float(period))
    except (OSError, ValueError):
        pass
    old_quota, old_period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return (old_quota, old_period) if old_quota and old_period and old_quota > 0 else None


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        # The file of another version or of another controller, or "max".
        return None


def _statistic(file: Path, name: str) -> int:
    try:
        values = dict(line.split() for line in file.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(values.get(name, 0))
