"""Having foreign pickles read by a process that can do no harm, and taking over what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.config.base import Config
from rayrl.errors import ConfigError, DataError, IntegrityError
from rayrl.experience.legacy import child
from rayrl.storage.atomic import read_json

_MEMORY_BYTES = 1 << 30
_MEMORY_PER_BYTE = 16
"""Memory for each byte of the files: small objects take some ten times what they take in a pickle."""
_CPU_S = 60
_CPU_BYTES_PER_S = 2_000_000
_NOTHING_RUN = "nothing of it was run, and nothing was written"
_WALL = 10
"""Seconds of waiting for each second of computing allowed."""


class LegacyFile(Config):
    """What the reading process says of one file."""

    layout: str
    values: dict[str, Any]
    arrays: list[str]
    dropped: dict[str, int]


class Legacy:
    """The contents of one file.

    Args:
        path: the file.
        said: what the reading process says of it.
        arrays: by name, mapped from the scratch folder.
    """

    def __init__(self, path: Path, said: LegacyFile, arrays: dict[str, NDArray[Any]]) -> None:
        self.path = path
        self.layout = said.layout
        self.values = said.values
        self.dropped = dict(said.dropped)
        self.arrays = arrays


def check_trust(path: Path, trust: bool) -> None:
    """Refuses to read a pickle unless its reader says that it may be read.

    Raises:
        ConfigError: ``trust`` is not given.
    """
    if not trust:
        raise ConfigError(
            "is read from pickles, and a pickle is a program that can be made to do anything",
            where=str(path),
            remedy="if you know who made it, --trust reads it: with a list of what it may name, in a process "
            "of its own that has little memory and time",
        )


def read_legacy(paths: Sequence[Path], scratch: Path) -> list[Legacy]:
    """Reads pickles in a process of its own, bounded in memory, computing time and files.

    Args:
        paths: the files.
        scratch: an empty folder for what is handed back.

    Raises:
        IntegrityError: a file is no pickle, cut short, of no known layout, names what is not allowed, or asks
            for more memory or time than it may have.
    """
    size = sum(path.stat().st_size for path in paths)
    memory, cpu_s = _MEMORY_BYTES + _MEMORY_PER_BYTE * size, _CPU_S + size // _CPU_BYTES_PER_S
    command = [sys.executable, "-P", "-m", child.__name__, str(scratch), str(memory), str(cpu_s)]
    environ = {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        # Threads of the linear algebra libraries would take address space of their own.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    where = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files below {paths[0].parent}"
    try:
        done = subprocess.run(
            command,
            input=json.dumps([str(path.absolute()) for path in paths]).encode(),
            env=environ,
            cwd=scratch,
            capture_output=True,
            timeout=_WALL * cpu_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise IntegrityError(f"could not be read within {_WALL * cpu_s} s", where=where) from error
    if done.returncode == child.ERROR:
        said = read_json(scratch / "error.json", "what the reading process says")
        raise IntegrityError(said["message"], where=said["file"], remedy=_NOTHING_RUN)
    if done.returncode < 0:
        raise IntegrityError(_death(-done.returncode, cpu_s), where=where, remedy=_NOTHING_RUN)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DataError(f"the process that reads it failed: {' '.join(last)[:300]}", where=where)
    found = read_json(scratch / "contents.json", "what the reading process found")
    return [
        _taken_over(path, one, scratch, number)
        for number, (path, one) in enumerate(zip(paths, found, strict=True))
    ]


def _taken_over(path: Path, said: dict[str, Any], scratch: Path, number: int) -> Legacy:
    file = LegacyFile.parse(said, where=str(path))
    arrays = {
        name: np.load(scratch / f"{number}-{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in file.arrays
    }
    return Legacy(path, file, arrays)


def _death(number: int, cpu_s: int) -> str:
    if number in (signal.SIGXCPU, signal.SIGKILL):
        return f"takes more than {cpu_s} s of computing to read, or more memory than there is"
    return (
        f"made the reading process end by {signal.Signals(number).name}: it is nested too deeply or damaged"
    )
