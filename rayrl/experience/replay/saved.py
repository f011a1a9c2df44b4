"""What a saved replay buffer looks like on disk: docs/format.md says it as a standard."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rayrl.config.base import Config
from rayrl.errors import ConfigError, IntegrityError, SpaceError
from rayrl.experience.columns import ColumnSpec
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.partition import Counters
from rayrl.storage.atomic import read_json
from rayrl.storage.manifest import MANIFEST_FILE, check_format_version
from rayrl.storage.spaces import Spaces

FORMAT_VERSION = "1.0"
KIND = "replay_buffer"

ROW_ID = "row_id"
PRIORITY_WEIGHT = "priority_weight"
TRAJECTORY_ID = "trajectory_id"
TRAJECTORY_RETURN = "trajectory_return"
SCORE = "on_policiness"
SCORE_VERSION = "on_policiness_version"

STEP_COLUMNS = {
    ROW_ID: ColumnSpec(np.dtype(np.int64)),
    PRIORITY_WEIGHT: ColumnSpec(np.dtype(np.float32)),
}
TRAJECTORY_COLUMNS = {
    TRAJECTORY_ID: ColumnSpec(np.dtype(np.int64)),
    TRAJECTORY_RETURN: ColumnSpec(np.dtype(np.float64)),
    SCORE: ColumnSpec(np.dtype(np.float64)),
    SCORE_VERSION: ColumnSpec(np.dtype(np.int64)),
}

REMEDY = "copy the buffer again from where it came from, or save it again"


class SavedPartition(Config):
    """One partition: its dataset is the folder of its name, where it holds anything."""

    name: str
    counters: dict[str, int]
    watermarks: list[tuple[int, int, int]]
    """Producer, epoch and sequence of the newest batch of each."""
    threshold: float
    blocks: list[tuple[int, int]]
    """Number of each block that holds rows, oldest first, and how many row ids it has given out."""
    open: bool
    """Whether the last block was being filled."""


class BufferManifest(Config):
    """``manifest.json`` of a saved buffer."""

    format_version: str
    kind: Literal["replay_buffer"]
    env: EnvInfo
    spaces: dict[str, Any]
    options: ReplayOptions
    """With the block's rows."""
    draws: int
    updates_dropped: int
    highest_priority: float
    next_block: int
    next_trajectory: int
    partitions: list[SavedPartition]
    versions: dict[str, str]


def is_saved_buffer(path: Path) -> bool:
    """Whether a folder's manifest is that of a saved buffer."""
    manifest = path / MANIFEST_FILE
    if not manifest.is_file():
        return False
    value = read_json(manifest, "the manifest")
    return isinstance(value, dict) and value.get("kind") == KIND


def read_buffer_manifest(path: Path) -> BufferManifest:
    """Reads the manifest of a saved buffer; of its datasets nothing.

    Raises:
        IntegrityError: it is missing, damaged, of something else, or of an unknown version.
    """
    file = path / MANIFEST_FILE
    if not file.exists():
        raise IntegrityError(
            "there is no saved replay buffer here" if path.is_dir() else "there is no such folder",
            where=str(file),
            remedy="a saved buffer is a folder with manifest.json, which is written when it is complete",
        )
    value = read_json(file, "the buffer's manifest")
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise IntegrityError(
            "is no manifest of a replay buffer",
            where=str(file),
            remedy="a dataset is opened with rayrl.open_dataset, and added with ReplayBuffer.add_dataset",
        )
    check_format_version(value, FORMAT_VERSION, file)
    try:
        manifest = BufferManifest.parse(value, where=str(file))
        Spaces.from_json(manifest.spaces)
        names = [partition.name for partition in manifest.partitions]
        if manifest.options.block_rows is None or names != list(manifest.options.partitions):
            raise ConfigError("the options are not those of the partitions that are saved")
        for partition in manifest.partitions:
            if odd := partition.counters.keys() ^ {field.name for field in fields(Counters)}:
                raise ConfigError(
                    f"partition {partition.name!r} lacks, or should not have, counter {min(odd)!r}"
                )
    except (ConfigError, SpaceError) as error:
        raise IntegrityError(error.message, where=str(file), remedy=REMEDY) from error
    return manifest
