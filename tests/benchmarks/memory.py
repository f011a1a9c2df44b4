"""How much memory this process takes, as Linux counts it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

_PROCESS = Path("/proc/self")


def resident() -> int:
    """Bytes of this process in memory now."""
    return _status("VmRSS")


def peak_during(work: Callable[[], object]) -> int:
    """The most bytes by which this process grows while something runs."""
    gc.collect()
    # 5: begin to measure the peak anew (proc_pid_clear_refs(5)).
    (_PROCESS / "clear_refs").write_text("5")
    before = resident()
    work()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    for line in (_PROCESS / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise LookupError(f"no {name} in {_PROCESS}/status")
