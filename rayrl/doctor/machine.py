"""CPUs, memory, Ray's object store and the disks."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import psutil

from rayrl.doctor.finding import Finding, State, gib
from rayrl.errors import StorageError
from rayrl.pipeline import cgroup
from rayrl.pipeline.resources import this_machine
from rayrl.storage.atomic import storage_errors

STORE_SHARE = 0.3
"""Share of the memory that Ray gives to its object store."""
STORE_CAP = 10**10
"""Bytes that it has at most where ``/dev/shm`` is smaller."""
_SHM = Path("/dev/shm")
_FULL = 0.95
"""Share of a disk in use from which on Ray refuses to spill objects to it."""
_LITTLE_MEMORY = 2 << 30
_LITTLE_DISK = 2 << 30
_BUSY = 0.5
"""Load of other processes, as a share of the CPUs, that measurably slows a run."""


def check_cpus() -> Finding:
    """How many CPUs there are, of how many, and whether others use them."""
    there = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    return judge_cpus(
        there=there,
        allowed=allowed,
        limit=cgroup.cpu_limit(),
        usable=int(this_machine()["CPU"]),
        load=os.getloadavg()[1],
    )


def judge_cpus(*, there: int, allowed: int, limit: float | None, usable: int, load: float) -> Finding:
    """What the numbers mean.

    Args:
        there: CPUs of the machine.
        allowed: those that the process may run on.
        limit: CPUs' worth of time that its control group gets; None without a limit.
        usable: what rayrl gives to Ray.
        load: runnable processes, as a mean over the last 5 minutes.
    """
    text = f"{usable} of the machine's {there} CPUs" if usable < there else _count(usable, "CPU")
    if limit is not None and limit < allowed:
        text += f": the control group's quota is {limit:g}"
    elif allowed < there:
        text += ": the CPU affinity allows no others"
    facts = {"cpus": usable, "machine": there, "affinity": allowed, "quota": limit, "load": load}
    if load > usable * _BUSY:
        text += f"; other processes keep {load:.1f} CPUs busy"
        remedy = "end them, or expect a slower run"
        return Finding(check="cpu", state="warning", message=text, remedy=remedy, facts=facts)
    return Finding(check="cpu", state="ok", message=text, facts=facts)


def check_memory() -> Finding:
    """How much memory is left, and what limits it."""
    memory = psutil.virtual_memory()
    return judge_memory(
        total=memory.total,
        available=memory.available,
        limit=cgroup.memory_limit(),
        used=cgroup.memory_used(),
    )


def judge_memory(*, total: int, available: int, limit: int | None, used: int | None) -> Finding:
    """What the numbers mean.

    Args:
        total: bytes of the machine.
        available: those that are not in use.
        limit: what the control group may use; None without a limit.
        used: what it uses.
    """
    text = f"{gib(available)} available of {gib(total)}"
    if limit is not None and limit < total:
        available = min(available, max(0, limit - (used or 0)))
        text = f"{gib(available)} available: the control group may use {gib(limit)} of {gib(total)}"
    facts = {"available": available, "total": total, "limit": limit}
    if available < _LITTLE_MEMORY:
        remedy = (
            f"free memory, or raise the limit: a private Ray and one trial take about {gib(_LITTLE_MEMORY)}"
        )
        return Finding(check="memory", state="problem", message=text, remedy=remedy, facts=facts)
    return Finding(check="memory", state="ok", message=text, facts=facts)


def check_object_store() -> Finding:
    """Whether Ray's object store fits into shared memory."""
    memory, limit = psutil.virtual_memory().total, cgroup.memory_limit()
    shared = shutil.disk_usage(_SHM).free if _SHM.is_dir() else 0
    return judge_object_store(memory=min(memory, limit or memory), shared=shared)


def judge_object_store(*, memory: int, shared: int) -> Finding:
    """What the numbers mean.

    Args:
        memory: bytes that the processes may use.
        shared: bytes that are free in ``/dev/shm``.
    """
    wanted = int(min(memory * STORE_SHARE, max(STORE_CAP, shared * 0.95)))
    facts = {"wanted": wanted, "shared_memory": shared}
    if shared < wanted:
        return Finding(
            check="object store",
            state="warning",
            message=f"/dev/shm has {gib(shared)} for an object store of {gib(wanted)}: Ray keeps it on disk, "
            "which is slow",
            remedy=f"in a container, start it with --shm-size={wanted / 1e9 + 1:.0f}g; else free /dev/shm",
            facts=facts,
        )
    text = f"{gib(wanted)}, in /dev/shm ({gib(shared)} free)"
    return Finding(check="object store", state="ok", message=text, facts=facts)


def check_disk(folder: Path, what: str) -> Finding:
    """Whether a folder can be written to and locked, and how much is free there.

    Args:
        folder: need not exist; then the one around it counts.
        what: what is written there, in one or two words.
    """
    home = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    try:
        with storage_errors(home, what), tempfile.TemporaryFile(dir=home) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except StorageError as error:
        return Finding(check=what, state="problem", message=f"{home}: {error.message}", remedy=error.remedy)
    except OSError as error:
        text = f"{home}: files cannot be locked there: {error.strerror}"
        remedy = "choose a folder on a local disk, or mount the network file system with locks"
        return Finding(check=what, state="problem", message=text, remedy=remedy)
    usage = shutil.disk_usage(home)
    return judge_disk(str(home), what, free=usage.free, total=usage.total)


def judge_disk(folder: str, what: str, *, free: int, total: int) -> Finding:
    """What the numbers, in bytes, mean."""
    text = f"{gib(free)} free of {gib(total)} in {folder}"
    facts = {"folder": folder, "free": free, "total": total}
    if free < _LITTLE_DISK or free < (1 - _FULL) * total:
        state: State = "problem" if free < _LITTLE_DISK // 4 else "warning"
        text += "; Ray puts nothing more on a disk that is 95 % full"
        remedy = "free space there, or choose another disk (TMPDIR for Ray, --run-dir for the run)"
        return Finding(check=what, state=state, message=text, remedy=remedy, facts=facts)
    return Finding(check=what, state="ok", message=text, facts=facts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
