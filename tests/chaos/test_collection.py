"""A process that collects demonstrations is killed: what it acknowledged stays, the rest comes the same."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rayrl.experience.dataset import open_dataset

pytestmark = pytest.mark.chaos

COLLECT = """
import sys, rayrl
rayrl.collect(
    "rayrl/Router-v0", sys.argv[1], steps=12_000, envs=2, env_config={"requests": 64},
    demonstrators={"round_robin": 1, "least_outstanding": 1, "random": 1},
    scenarios={"double_load": 0.2, "lost_replica": 0.2, "bursts": 0.1},
)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", COLLECT, str(folder)], start_new_session=True)


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.arrow")}


@pytest.mark.parametrize("files", [1, 6])
def test_killed_it_goes_on_to_the_same_bytes(tmp_path: Path, files: int) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert start(straight).wait(300) == 0
    process = start(killed)
    deadline = time.monotonic() + 120
    while len(list(killed.glob("*.arrow"))) < files:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert not (killed / "manifest.json").exists()
    kept = {file: file.stat().st_mtime_ns for file in killed.glob("*.arrow")}
    assert len(kept) >= files
    assert start(killed).wait(300) == 0
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert digests(killed) == digests(straight)
    whole, again = open_dataset(straight), open_dataset(killed)
    again.verify()
    assert again.manifest.extra == whole.manifest.extra
