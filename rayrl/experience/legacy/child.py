"""The process that reads foreign pickles: it bounds itself, reads, and leaves arrays and JSON, no pickle.

``python -m rayrl.experience.legacy.child SCRATCH MEMORY_BYTES CPU_S`` takes a JSON list of files on standard
input and leaves ``contents.json`` in the folder SCRATCH, a list with an object for each file, and their
arrays as ``<file's number>-<name>.npy``; or ``error.json`` with ``file`` and ``message``, and exit code 3.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from rayrl.experience.legacy.arrays import RefusedError
from rayrl.experience.legacy.layouts import LayoutError, contents_of
from rayrl.experience.legacy.unpickler import read_pickle

ERROR = 3
_PAGE = resource.getpagesize()


def main(arguments: list[str]) -> int:
    """Reads the files; see above."""
    scratch, memory, cpu = arguments
    files: list[str] = json.load(sys.stdin)
    _bound(int(memory), int(cpu))
    found: list[dict[str, Any]] = []
    for number, file in enumerate(files):
        try:
            found.append(_read(Path(file), Path(scratch), number))
        except MemoryError:
            return _fail(
                scratch, file, f"asks for more memory than the {int(memory) / 1e9:.1f} GB it may have"
            )
        except OSError as error:
            return _fail(scratch, file, f"cannot be read or handed over: {error.strerror}")
        except (RefusedError, LayoutError) as error:
            return _fail(scratch, file, str(error))
    (Path(scratch) / "contents.json").write_text(json.dumps(found))
    return 0


def _read(path: Path, scratch: Path, number: int) -> dict[str, Any]:
    found = contents_of(read_pickle(path))
    for name, array in found.arrays.items():
        np.save(scratch / f"{number}-{name}.npy", array, allow_pickle=False)
    return {
        "layout": found.layout,
        "values": found.values,
        "arrays": sorted(found.arrays),
        "dropped": found.dropped,
    }


def _bound(memory: int, cpu_s: int) -> None:
    """Limits what this process can take, before it reads the first byte."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
    resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _fail(scratch: str, file: str, message: str) -> int:
    (Path(scratch) / "error.json").write_text(json.dumps({"file": file, "message": message}))
    return ERROR


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
