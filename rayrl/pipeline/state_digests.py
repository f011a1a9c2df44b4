"""The complete state of an algorithm as digests by name, so that two of them can be compared."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.storage.hashing import sha256_file, sha256_json
from rayrl.storage.manifest import MANIFEST_FILE

_LOGGER = "metrics_logger"
"""Holds timings; what it makes of other numbers is in the curve."""
_TIMED = ("second", "throughput", "per_s", "bytes", "items_sampled")
"""Parts of the names of numbers that no two runs share."""
_REPLAY = "replay"
_VERSIONS = "versions"
_PARTS = {
    "learner_group/learner/rl_module/": "weights",
    "learner_group/learner/optimizer/": "optimizer",
    "learner_group/": "coefficients",
    "steering/": "coefficients",
    "pace/": "coefficients",
    "workers/": "rollouts",
    f"{_REPLAY}/": "replay",
    "curve/": "metrics",
}
"""What a name that begins so belongs to."""
_ENVIRONMENT = "/collector/env/"


def part_of(name: str) -> str:
    """What part of an algorithm a number belongs to: ``weights``, ``optimizer``, ``environments``, …"""
    if _ENVIRONMENT in name:
        return "environments"
    return next((part for start, part in _PARTS.items() if name.startswith(start)), "counters")


def algorithm_digests(algorithm: ColumnarAlgorithm, curve: Path, scratch: Path) -> dict[str, str]:
    """Digests of all that the next iteration depends on, and of what every iteration has told.

    Args:
        algorithm: the algorithm, between two iterations.
        curve: JSON lines, one an iteration.
        scratch: a folder that is not there, for what is written only to be read.
    """
    found = dict(_digests(algorithm.get_state(), ""))
    for number, line in enumerate(curve.read_text(encoding="utf-8").splitlines()):
        found |= _digests(_untimed(json.loads(line)), f"curve/{number}/")
    if algorithm.replay is not None:
        scratch.mkdir(parents=True)
        try:
            algorithm.replay.save_checkpoint(scratch)
            found |= _files(scratch)
        finally:
            shutil.rmtree(scratch)
    return found


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.rglob("*")):
        name = f"{_REPLAY}/{file.relative_to(folder)}"
        if file.name == MANIFEST_FILE:
            # What it was written with, rayrl's commit among it, is no state.
            manifest = {key: value for key, value in json.loads(file.read_text()).items() if key != _VERSIONS}
            yield name, sha256_json(manifest)
        elif file.is_file():
            yield name, sha256_file(file)


def _digests(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """The digest of each array and plain value within nested ones, by their keys."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key != _LOGGER:
                yield from _digests(item, f"{name}{key}/")
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, item in enumerate(value):
            yield from _digests(item, f"{name}{index}/")
    else:
        yield name.rstrip("/"), _digest(value)


def _digest(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        head, content = f"{value.dtype} {value.shape}", np.ascontiguousarray(value).tobytes()
    elif value is None or isinstance(value, bool | int | str):
        return repr(value)
    elif isinstance(value, float):
        return value.hex()
    else:
        # What else an environment may have put into its state.
        head, content = type(value).__name__, pickle.dumps(value)
    return f"{head} {hashlib.sha256(content).hexdigest()}"


def _untimed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _untimed(item) for key, item in value.items() if not any(timed in key for timed in _TIMED)}
