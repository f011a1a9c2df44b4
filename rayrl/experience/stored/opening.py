"""Datasets and saved replay buffers behind one face: parts, each of them a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from rayrl.errors import IntegrityError
from rayrl.experience.arrow import read_specs
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs
from rayrl.experience.dataset import (
    DatasetManifest,
    open_dataset,
    part_schema,
    read_dataset_manifest,
    read_part,
)
from rayrl.experience.replay.saved import BufferManifest, is_saved_buffer, read_buffer_manifest
from rayrl.storage.atomic import read_json
from rayrl.storage.manifest import MANIFEST_FILE

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

_REMEDY = (
    'a dataset is a folder of part-*.arrow files and a manifest.json with "files"; a saved replay buffer is '
    'a folder whose manifest.json says "kind": "replay_buffer"'
)


@dataclass(frozen=True)
class StoredPart:
    """One dataset of what is stored.

    Args:
        name: of the partition; empty for a dataset by itself.
        folder: where it is.
    """

    name: str
    folder: Path

    @cached_property
    def manifest(self) -> DatasetManifest:
        """Its manifest; raises IntegrityError where that is missing, damaged or names no file."""
        manifest = read_dataset_manifest(self.folder)
        if not manifest.files:
            raise IntegrityError("names no file", where=str(self.folder / MANIFEST_FILE), remedy=_REMEDY)
        return manifest

    def read_specs(self) -> BatchSpecs:
        """Its columns, from the footer of its first file."""
        return read_specs(part_schema(self.folder / self.manifest.files[0].name))


@dataclass(frozen=True)
class Stored:
    """A dataset, or a saved replay buffer.

    Args:
        path: the folder.
        parts: its datasets; of a buffer one for each partition that holds anything.
        buffer: manifest of a saved buffer, None for a dataset.
    """

    path: Path
    parts: tuple[StoredPart, ...]
    buffer: BufferManifest | None

    @property
    def kind(self) -> Literal["dataset", "replay_buffer"]:
        """Which of the two it is."""
        return "dataset" if self.buffer is None else "replay_buffer"

    @property
    def num_steps(self) -> int:
        """Steps, as the manifests say."""
        return sum(file.steps for part in self.parts for file in part.manifest.files)

    def check(self) -> None:
        """Checks versions, files, sizes and footers of all parts.

        Raises:
            IntegrityError: naming the file, and what to do about it.
        """
        for part in self.parts:
            open_dataset(part.folder)

    def batches(self, progress: Progress | None = None) -> Iterator[tuple[StoredPart, TrajectoryBatch]]:
        """All trajectories, part by part, as read-only views of the mapped files.

        Args:
            progress: told of steps.

        Raises:
            IntegrityError: naming the file that cannot be read.
        """
        done, total = 0, self.num_steps
        for part in self.parts:
            for file in part.manifest.files:
                for batch in read_part(part.folder / file.name):
                    yield part, batch
                    done += batch.num_steps
                    if progress is not None:
                        progress(done, total)


def open_stored(path: Path | str) -> Stored:
    """Opens a dataset or a saved replay buffer by its manifest; of its files nothing is read.

    Raises:
        IntegrityError: there is neither, it is unfinished, or its manifest is damaged or of an unknown
            version.
    """
    folder = Path(path)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "there is no such folder"
        raise IntegrityError(found, where=str(folder), remedy=_REMEDY)
    file = folder / MANIFEST_FILE
    if not file.is_file():
        parts = len(list(folder.glob("part-*.arrow")))
        found = (
            f"an unfinished dataset: {parts} files and no manifest.json"
            if parts
            else "there is no manifest.json"
        )
        raise IntegrityError(found, where=str(folder), remedy=_REMEDY)
    if is_saved_buffer(folder):
        manifest = read_buffer_manifest(folder)
        held = [StoredPart(one.name, folder / one.name) for one in manifest.partitions if one.blocks]
        return Stored(folder, tuple(held), manifest)
    value = read_json(file, "the manifest")
    if not isinstance(value, dict) or "files" not in value or "spaces" not in value:
        raise IntegrityError("is the manifest of something else", where=str(file), remedy=_REMEDY)
    part = StoredPart("", folder)
    part.manifest  # noqa: B018  (raises where it is damaged)
    return Stored(folder, (part,), None)
