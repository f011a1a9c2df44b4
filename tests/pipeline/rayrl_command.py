"""The `rayrl` command with the counting stages, as a process that tests can watch and kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from rayrl.pipeline.processes import marked

_CLUSTER = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")


class Command:
    """A running `rayrl`."""

    def __init__(self, arguments: list[str], cwd: Path, env: dict[str, str]) -> None:
        script = Path(__file__).with_name("counting_stage.py")
        kept = {name: value for name, value in os.environ.items() if name not in _CLUSTER}
        self._output = cwd / f"output-{time.monotonic_ns()}"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(script), "rayrl", *arguments],
                cwd=cwd,
                env=kept | env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    def wait(self, timeout_s: float = 300.0) -> int:
        """Its exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s:\n{self.output}") from None

    def until(self, happened: Callable[[], Any], timeout_s: float = 300.0) -> Any:
        """Waits for something to happen while the command runs."""
        deadline = time.monotonic() + timeout_s
        while not (result := happened()):
            assert self.process.poll() is None, f"ended early:\n{self.output}"
            assert time.monotonic() < deadline, f"nothing happened in {timeout_s} s:\n{self.output}"
            time.sleep(0.05)
        return result

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Watch:
    """What a run folder of the counting experiment holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def count(self) -> dict[str, Any]:
        """The counting stage's checkpoint."""
        file = self.folder / "count" / "count.json"
        state: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"n": 0, "starts": []}
        return state

    @property
    def job(self) -> str:
        """Id of the newest job of the counting stage."""
        return str(json.loads((self.folder / "stages" / "count" / "job.json").read_text())["submission_id"])

    def private_ray(self) -> "PrivateProcesses":
        """The processes of the run's private Ray."""
        holder = json.loads((self.folder / ".lock").read_text())
        return PrivateProcesses(holder["mark"], holder["ray_temp"])

    def driver(self) -> psutil.Process:
        """The process of the counting stage's job."""
        return psutil.Process(self.driver_pid())

    def driver_pid(self) -> int:
        """Process id of the newest start of the counting stage."""
        started = [line for line in self.records("count") if line.get("event") == "started"]
        return int(started[-1]["pid"])

    def records(self, unit: str) -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in (self.folder / "logs" / f"{unit}.jsonl").read_text().splitlines()
        ]

    def outputs(self) -> dict[str, bytes]:
        """The bytes and times of all that finished stages wrote."""
        files = [
            *self.folder.glob("count/*"),
            *self.folder.glob("report/*"),
            *self.folder.glob("stages/*/m*"),
        ]
        return {str(file): file.read_bytes() + str(file.stat().st_mtime_ns).encode() for file in files}


class PrivateProcesses:
    """The processes of one private Ray, found by their mark, and apart from it by their working directory."""

    def __init__(self, mark: str, temp: str) -> None:
        self.mark = mark
        self._temp = temp

    def marked(self) -> list[psutil.Process]:
        return marked(self.mark)

    def in_folder(self) -> list[psutil.Process]:
        """Processes whose working directory is Ray's temporary folder, even after its removal."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(self._temp):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def supervisors(self) -> tuple[psutil.Process, psutil.Process]:
        """Supervisor and guard: the guard is the supervisor's child."""
        pair = [process for process in self.marked() if "rayrl.pipeline.supervisor" in process.cmdline()]
        guard = next(process for process in pair if process.ppid() in {other.pid for other in pair})
        return next(process for process in pair if process != guard), guard

    def wait_until_gone(self, timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while left := self.marked() + self.in_folder():
            assert time.monotonic() < deadline, [process.cmdline() for process in left]
            time.sleep(0.05)
        assert not Path(self._temp).exists()
