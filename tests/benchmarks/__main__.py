"""Runs the benchmarks: ``python -m tests.benchmarks [ROW ...]``, each a row's name or the beginning of one.

Prints a table and writes ``build/bench.json``. Each row has a process of its own, with one thread, so that no
row inherits another's caches, threads or memory.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.outcome import HEADING, Outcome, machine

ROOT = Path(__file__).parents[2]
KINDS = {
    name: name for name in ("rollout", "learner", "ppo", "offpolicy", "router", "maze", "models", "replay")
}
"""Modules beside this one, by how the names of their ``ROWS`` begin."""


def main() -> int:
    """Gives 1 where a goal was not reached."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure against bare loops and peers.")
    parser.add_argument("rows", nargs="*", help="names of rows, or how they begin; all of them by default")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(asdict(_measure(arguments.row))))
        return 0
    names = [name for kind in KINDS for name in _rows(kind)]
    chosen = [name for name in names if not arguments.rows or name.startswith(tuple(arguments.rows))]
    if not chosen:
        parser.error(f"no row begins with {' or '.join(arguments.rows)}; there are {', '.join(names)}")
    print(machine(), HEADING, sep="\n", flush=True)
    outcomes = []
    for name in chosen:
        outcomes.append(_in_own_process(name))
        print(outcomes[-1].line(), flush=True)
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([outcome.to_json() for outcome in outcomes], indent=2) + "\n")
    missed = [f"{outcome.row}: {text}" for outcome in outcomes for text in outcome.missed]
    print(machine(), *missed or ["Every goal is reached."], path, sep="\n")
    return 1 if missed else 0


def _rows(kind: str) -> dict[str, object]:
    return importlib.import_module(f"tests.benchmarks.{KINDS[kind]}").ROWS


def _in_own_process(row: str) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="rayrl-", dir="/tmp", ignore_cleanup_errors=True) as scratch:
        # A Ray of its own, whatever Ray the user runs; the folder is short since sockets lie deep below it.
        own = {
            "HOME": scratch,
            "RAY_TMPDIR": scratch,
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "GOMP_SPINCOUNT": "10000",  # as rayrl's own jobs have it
            "PYTHONWARNINGS": "ignore",
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks", "--row", row],
            cwd=scratch,  # where MuJoCo leaves its log
            env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
            | own
            | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{row} failed:\n{done.stderr}")
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def _measure(row: str) -> Outcome:
    import ray
    import torch

    from tests.benchmarks.contest import hold

    torch.set_num_threads(1)
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=300 << 20,
    )
    try:
        return hold(row, _rows(row.split("/")[0])[row]())
    finally:
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
