"""A Ray of one run's own, as the controller holds it; ``supervisor`` is the process behind it."""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rayrl.errors import ResourceError, RunError
from rayrl.pipeline.processes import MARK, end_private_ray
from rayrl.pipeline.supervisor import ACCESS_SOCKET
from rayrl.storage.atomic import storage_errors

STOP_WAIT_S = 120
"""Seconds that a job gets between SIGTERM and SIGKILL, to write a checkpoint."""

_NAMES_ANOTHER_CLUSTER = (
    "RAY_ADDRESS",
    "RAY_API_SERVER_ADDRESS",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
    "RAY_NAMESPACE",
)
_LONGEST_BASE = 24
"""Ray's Unix sockets lie up to 81 characters below it, and their paths may have 107."""

_START_TIMEOUT_S = 180.0
_END_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a Ray's dashboard and its Jobs API."""

    dashboard: str
    """URL."""
    token: str


class PrivateRay:
    """Ray with its own temporary folder, ports, token and processes, for as long as this object is open.

    It starts in the background; ``wait`` blocks until it is up. However the process that holds this object
    ends, the supervisor ends Ray.

    Args:
        cpus: logical CPUs of the node.
        gpus: logical GPUs of the node.
        log: file to which the supervisor's own errors go.
        mark: what marks its processes.
        hold: file descriptor of a lock that is to be held until nothing is left of this Ray.
    """

    def __init__(self, *, cpus: int, gpus: int, log: Path, mark: str, hold: int) -> None:
        self.mark = mark
        self._log = log
        self._token = secrets.token_hex(32)
        self.temp = make_ray_temp()
        command = [
            *(sys.executable, "-m", "rayrl.pipeline.supervisor", "--temp-dir", str(self.temp)),
            *("--cpus", str(cpus), "--gpus", str(gpus)),
        ]
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment(),
                start_new_session=True,
                pass_fds=(hold,),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self) -> Access:
        """Blocks until Ray is up.

        Raises:
            ResourceError: it did not start, with what it said.
        """
        line = self._read(time.monotonic() + _START_TIMEOUT_S)
        message = json.loads(line) if line else {"error": "Ray's supervisor ended while Ray was starting"}
        if "error" in message:
            raise ResourceError(message["error"], where="private Ray")
        return Access(dashboard=message["dashboard"], token=self._token)

    def check(self) -> None:
        """Makes sure that Ray is still there.

        Raises:
            RunError: it, or its supervisor, has ended.
        """
        if self._process.poll() is not None:
            raise RunError(
                f"the run's private Ray ended unexpectedly; what it said is in {self._log}",
                remedy="run the same command again; finished stages are kept",
            )

    def close(self) -> None:
        """Ends Ray, and returns when none of its processes is left.

        Raises:
            RunError: a process could not be ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        deadline = time.monotonic() + _END_TIMEOUT_S
        while self._read(deadline):
            continue
        self._process.stdout.close()
        # Supervisor and guard did this already, unless both were killed.
        end_private_ray(self.mark, self.temp)
        self._process.wait()

    def _read(self, deadline: float) -> bytes:
        """One line of the supervisor; empty when it and its guard have ended, or at the deadline."""
        assert self._process.stdout is not None
        output = select.poll()  # not select(), which knows no file descriptors above 1023
        output.register(self._process.stdout, select.POLLIN)
        while time.monotonic() < deadline:
            if output.poll(200):
                return self._process.stdout.readline()
        return b""

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _NAMES_ANOTHER_CLUSTER}
        return kept | {
            MARK: self.mark,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            # Ray's process titles would overwrite the environment, and the mark with it.
            "SPT_NOENV": "1",
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
        }


def ask_access(temp: Path) -> Access:
    """Asks the supervisor of a running private Ray, of the same user, for its address and token.

    Args:
        temp: the private Ray's temporary folder.

    Raises:
        RunError: no such Ray is running.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(temp / ACCESS_SOCKET))
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError as error:
        raise RunError(f"the run's private Ray does not answer: {error.strerror or error}") from None
    return Access(**json.loads(answer))


def make_ray_temp() -> Path:
    """A new temporary folder for Ray, short enough for the Unix sockets within it.

    Raises:
        StorageError: the disk is full or not writable.
    """
    base = tempfile.gettempdir()
    base = base if len(base) <= _LONGEST_BASE else "/tmp"
    with storage_errors(Path(base), "Ray's temporary folder"):
        return Path(tempfile.mkdtemp(prefix="rayrl-", dir=base))
