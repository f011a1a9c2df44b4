"""A lock on a folder, held by open file and so freed by the system when its holders end, however they do.

A child process that inherits the open file holds the lock with its parent: it is free when both are gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rayrl.errors import RunLockedError
from rayrl.storage.atomic import storage_errors

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, and the private Ray that it runs there."""

    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    mark: str | None = None
    """What marks the processes of its private Ray."""
    ray_temp: str | None = None
    """Temporary folder of its private Ray."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    @property
    def is_here(self) -> bool:
        """Whether the holder runs, or ran, on this machine."""
        return self.host == socket.gethostname()


class Lock:
    """A lock that this process holds."""

    def __init__(self, descriptor: int, path: Path, previous: Holder | None) -> None:
        self.descriptor = descriptor
        self.previous = previous
        """Who held it last, and may have left processes behind."""
        self._path = path

    def record(self, holder: Holder) -> None:
        """Says who holds it.

        Raises:
            StorageError: the disk is full or not writable.
        """
        with storage_errors(self._path, "a lock"):
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, json.dumps(asdict(holder)).encode(), 0)


@contextmanager
def hold(
    path: Path, *, timeout_s: float = 0.0, on_wait: Callable[[Holder | None], None] = lambda holder: None
) -> Iterator[Lock]:
    """Holds a lock for the length of a block.

    Args:
        path: the lock's file; made when it is not there, and left there.
        timeout_s: seconds to wait while another process holds it.
        on_wait: told once who holds it, before waiting.

    Raises:
        RunLockedError: another process holds it still, naming that process.
        StorageError: the file cannot be written.
    """
    with storage_errors(path, "a lock"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + timeout_s
        told = False
        while not _take(descriptor):
            holder = _recorded(path)
            if time.monotonic() >= deadline:
                raise RunLockedError(
                    f"held by {holder or 'another process'}",
                    where=str(path.parent),
                    remedy="wait until it ends, or end it with `rayrl stop`",
                )
            if not told:
                on_wait(holder)
                told = True
            time.sleep(_POLL_S)
        lock = Lock(descriptor, path, _recorded(path))
        lock.record(Holder())
        yield lock
    finally:
        os.close(descriptor)


def holder_of(path: Path) -> Holder | None:
    """Who holds a lock now; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        return None if _take(descriptor) else _recorded(path) or Holder(pid=0, host="unknown")
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _recorded(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        return None
