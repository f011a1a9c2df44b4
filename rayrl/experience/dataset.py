"""Datasets: TrajectoryBatches on disk, one flat folder of Arrow files beside ``manifest.json``.

The standard of the format, with the rules for readers, is docs/format.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic

from rayrl.config.base import Config
from rayrl.errors import ConfigError, DataError, IntegrityError
from rayrl.experience.arrow import FORMAT_VERSION, checked_specs, from_columns, read_specs
from rayrl.experience.batch import TrajectoryBatch
from rayrl.storage.atomic import read_json
from rayrl.storage.hashing import sha256_file, sha256_json
from rayrl.storage.manifest import MANIFEST_FILE, check_format_version
from rayrl.storage.spaces import Spaces

PART_NAME = "part-{:05d}.arrow"
ORIGIN_KEY = b"rayrl.origin"
"""Key of a file's schema metadata: JSON of the spaces and the environment that its trajectories come from."""

_REMEDY = "copy the dataset again from where it came from, or write it again"


class EnvInfo(Config):
    """The environment that experience comes from."""

    id: str
    config: dict[str, Any] = pydantic.Field(default_factory=dict)


class DatasetFile(Config):
    """What a manifest says of one Arrow file."""

    name: str = pydantic.Field(pattern=r"^[^/.][^/]*$")
    """Of a file in the dataset's own folder."""
    trajectories: pydantic.NonNegativeInt
    steps: pydantic.NonNegativeInt
    bytes: pydantic.NonNegativeInt
    sha256: str


class DatasetManifest(Config):
    """``manifest.json`` of a dataset."""

    format_version: str
    env: EnvInfo
    spaces: dict[str, Any]
    files: list[DatasetFile]
    versions: dict[str, str]
    extra: dict[str, Any] = pydantic.Field(default_factory=dict)
    """What the dataset's maker had to say of it, as plain JSON values."""


@dataclass(frozen=True)
class Dataset:
    """A finished dataset, checked on opening for versions, files, sizes and footers."""

    path: Path
    manifest: DatasetManifest

    @property
    def num_steps(self) -> int:
        """Steps in all files."""
        return sum(file.steps for file in self.manifest.files)

    @property
    def num_trajectories(self) -> int:
        """Trajectories in all files."""
        return sum(file.trajectories for file in self.manifest.files)

    @property
    def env(self) -> EnvInfo:
        """The environment that the trajectories come from."""
        return self.manifest.env

    @cached_property
    def spaces(self) -> Spaces:
        """The spaces that the columns have."""
        return Spaces.from_json(self.manifest.spaces)

    @property
    def sha256(self) -> str:
        """One digest of all files; a stage records it as that of its input."""
        return sha256_json({file.name: file.sha256 for file in self.manifest.files})

    def batches(self, *, mapped: bool = True) -> Iterator[TrajectoryBatch]:
        """The trajectories in the order they were appended, in read-only arrays.

        Args:
            mapped: views of the mapped files, which must stay as they are; else each file is read into
                memory, which is held as long as any array of it.

        Raises:
            IntegrityError: naming the file that cannot be read.
        """
        for file in self.manifest.files:
            yield from read_part(self.path / file.name, mapped=mapped)

    def load(self) -> TrajectoryBatch:
        """All trajectories in one batch; a copy in memory, unless the dataset is a single Arrow batch.

        Raises:
            IntegrityError: naming the file that cannot be read.
        """
        return TrajectoryBatch.concat(list(self.batches()))

    def verify(self) -> None:
        """Checks every byte and every count against the manifest.

        Raises:
            IntegrityError: naming each file that is altered, and the trajectories in it.
        """
        problems, first = [], 0
        for file in self.manifest.files:
            path, last = self.path / file.name, first + file.trajectories - 1
            if sha256_file(path) != file.sha256:
                problems.append(f"{file.name} is altered (trajectories {first} to {last})")
            elif part_size(path) != (file.trajectories, file.steps):
                problems.append(
                    f"{file.name} holds other counts than recorded (trajectories {first} to {last})"
                )
            first = last + 1
        if problems:
            raise IntegrityError("; ".join(problems), where=str(self.path), remedy=_REMEDY)


def open_dataset(path: Path | str) -> Dataset:
    """Opens a finished dataset after checking its version, and its files' presence, sizes and footers.

    Reads no trajectory; ``Dataset.verify`` checks the bytes.

    Raises:
        IntegrityError: naming the file, and what to do about it.
    """
    folder = Path(path)
    manifest = read_dataset_manifest(folder)
    dataset = Dataset(folder, manifest)
    origin = origin_to_json(dataset.spaces, dataset.env)
    for file in manifest.files:
        _check_file(folder / file.name, file, origin)
    return dataset


def read_dataset_manifest(folder: Path) -> DatasetManifest:
    """Reads the manifest of a finished dataset, and nothing of its files.

    Raises:
        IntegrityError: it is missing, damaged, or of a version that is not known.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        raise IntegrityError(
            "there is no finished dataset here" if folder.is_dir() else "there is no such folder",
            where=str(path),
            remedy="a dataset is a folder with manifest.json, which is written when it is complete",
        )
    value = read_json(path, "the dataset's manifest")
    check_format_version(value, FORMAT_VERSION, path)
    try:
        manifest = DatasetManifest.parse(value, where=str(path))
        origin_to_json(Spaces.from_json(manifest.spaces), manifest.env)
    except (ConfigError, DataError) as error:
        raise IntegrityError(error.message, where=str(path), remedy=_REMEDY) from error
    return manifest


def read_part(path: Path, *, mapped: bool = True) -> Iterator[TrajectoryBatch]:
    """The batches of one Arrow file of a dataset; see ``Dataset.batches``.

    Raises:
        IntegrityError: the file cannot be read.
    """
    with _integrity_errors(path), pa.memory_map(str(path)) if mapped else _read(path) as source:
        reader = pa.ipc.open_file(source)
        specs = checked_specs(reader.schema)
        for index in range(reader.num_record_batches):
            batch = from_columns(reader.get_batch(index), specs)
            batch.validate()
            yield batch


def _read(path: Path) -> pa.BufferReader:
    """A file's bytes in memory; numpy asks for large pages, in which rows are found faster later."""
    with path.open("rb", buffering=0) as file:
        data: Any = np.empty(path.stat().st_size, np.uint8)
        filled = 0
        while filled < len(data):
            # At most 2 GB come at once.
            count = file.readinto(data.data[filled:])
            if not count:
                raise OSError("the file was cut short while it was read")
            filled += count
    return pa.BufferReader(pa.py_buffer(data))


def part_size(path: Path) -> tuple[int, int]:
    """Trajectories and steps of one Arrow file of a dataset.

    Raises:
        IntegrityError: the file cannot be read.
    """
    sizes = [(batch.num_trajectories, batch.num_steps) for batch in read_part(path)]
    return sum(trajectories for trajectories, _ in sizes), sum(steps for _, steps in sizes)


def part_schema(path: Path) -> pa.Schema:
    """The Arrow schema of one file of a dataset, from its footer.

    Raises:
        IntegrityError: the file is cut short, or its footer cannot be read.
    """
    with _integrity_errors(path), pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).schema


def origin_to_json(spaces: Spaces, env: EnvInfo) -> dict[str, Any]:
    """What is written under ``ORIGIN_KEY``.

    Raises:
        SpaceError: a space is not supported.
        DataError: the environment's configuration holds what JSON does not have.
    """
    try:
        config = json.loads(json.dumps(env.config, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise DataError(f"{env.config!r} cannot be written as JSON: {error}", where="env.config") from error
    return {"spaces": spaces.to_json(), "env": {"id": env.id, "config": config}}


def part_origin(schema: pa.Schema) -> Any:
    """What stands under ``ORIGIN_KEY`` in a file's schema, or None."""
    return json.loads((schema.metadata or {}).get(ORIGIN_KEY, b"null"))


def _check_file(path: Path, file: DatasetFile, origin: dict[str, Any]) -> None:
    if not path.is_file():
        raise IntegrityError("the file is missing", where=str(path), remedy=_REMEDY)
    size = path.stat().st_size
    if size != file.bytes:
        raise IntegrityError(f"has {size} bytes, not {file.bytes}", where=str(path), remedy=_REMEDY)
    schema = part_schema(path)
    with _integrity_errors(path):
        read_specs(schema)
    if part_origin(schema) != origin:
        raise IntegrityError(
            "comes from other spaces or another environment than the manifest says",
            where=str(path),
            remedy=_REMEDY,
        )


@contextmanager
def _integrity_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise IntegrityError("the file is missing", where=str(path), remedy=_REMEDY) from error
    except DataError as error:
        if isinstance(error, IntegrityError):
            raise
        raise IntegrityError(str(error), where=str(path), remedy=_REMEDY) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise IntegrityError(f"cannot be read: {error}", where=str(path), remedy=_REMEDY) from error
