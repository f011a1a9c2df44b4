"""The processes of a private Ray, found by a mark in the environment that each of them inherited.

Ray's processes spread over process groups and sessions (a job's driver leads its own), and outlive their
parents. What all of them keep is the environment that they started with, so a mark in it finds exactly those
that a private Ray started, and no other Ray's.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from pathlib import Path

import psutil

from rayrl.errors import RunError

MARK = "RAYRL_PRIVATE_RAY"
"""Environment variable that holds the mark."""

_PAUSE_S = 0.05
_LOOKS_THAT_FIND_NONE = 3


def marked(mark: str, *, spare: Collection[int] = ()) -> list[psutil.Process]:
    """The live processes whose environment carries the mark.

    Args:
        mark: value of ``MARK``.
        spare: process ids to leave out.
    """
    return [
        process for process in psutil.process_iter() if process.pid not in spare and _carries(process, mark)
    ]


def end_private_ray(mark: str, temp: Path, *, spare: Collection[int] = ()) -> None:
    """Kills a private Ray's processes, until none is left, and removes its temporary folder.

    Args:
        mark: what marks its processes.
        temp: its temporary folder; need not be there any more.
        spare: process ids to leave alone.

    Raises:
        RunError: a process could not be ended.
    """
    end_marked(mark, spare=spare)
    shutil.rmtree(temp, ignore_errors=True)


def end_marked(mark: str, *, spare: Collection[int] = (), timeout_s: float = 30.0) -> None:
    """Kills every process that carries the mark, until none is left.

    Args:
        mark: value of ``MARK``.
        spare: process ids to leave alone.
        timeout_s: seconds after which it is an error that some are left.

    Raises:
        RunError: a process could not be ended.
    """
    deadline = time.monotonic() + timeout_s
    # A process that is just becoming another program has no environment for a moment: one look may miss it.
    found_none = 0
    while found_none < _LOOKS_THAT_FIND_NONE:
        found = marked(mark, spare=spare)
        found_none = 0 if found else found_none + 1
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if found and time.monotonic() > deadline:
            left = ", ".join(str(process.pid) for process in found)
            raise RunError(f"processes {left} of a private Ray could not be ended", remedy="end them by hand")
        time.sleep(_PAUSE_S)


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    except OSError:
        # The kernel refuses a process that is about to end or to become another program.
        return False
