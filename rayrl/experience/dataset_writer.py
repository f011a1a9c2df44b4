"""Writing datasets: Arrow files of bounded size, each whole or not there, and the manifest last."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from rayrl.errors import DataError, IntegrityError, RunError
from rayrl.experience.arrow import FORMAT_VERSION, read_specs, to_arrow
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import BatchSpecs, required_specs
from rayrl.experience.dataset import (
    ORIGIN_KEY,
    PART_NAME,
    Dataset,
    DatasetFile,
    DatasetManifest,
    EnvInfo,
    open_dataset,
    origin_to_json,
    part_origin,
    part_schema,
    part_size,
)
from rayrl.storage.atomic import atomic_file, remove_leftovers, storage_errors, write_json
from rayrl.storage.hashing import HashingFile, sha256_file
from rayrl.storage.manifest import MANIFEST_FILE
from rayrl.storage.spaces import Spaces
from rayrl.storage.versions import versions

_BLOCK_ROWS = 16_384
_BLOCK_BYTES = 32 << 20
_FILE_BYTES = 64 << 20


class DatasetWriter:
    """Appends trajectories to a dataset, in constant memory.

    Appended batches are gathered into Arrow batches of some 16,384 steps and written to files of about
    ``file_bytes``. A file takes its name once it is complete and on the disk; it is then *acknowledged* and
    never touched again. A writer that is opened on an unfinished folder goes on after the acknowledged files.

    One process writes a folder at a time. Used in a ``with`` block, leaving it without an error acknowledges
    what was appended, and with one drops the file that was open. After a StorageError a new writer is needed.

    Args:
        path: the dataset's folder, made where it is missing.
        spaces: what the columns must fit.
        env: where the trajectories come from.
        file_bytes: size at which a file is closed; a single longer trajectory makes a larger file.

    Raises:
        SpaceError: the spaces are not supported.
        RunError: the folder holds a finished dataset.
        DataError: the folder holds files of other spaces or of another environment, or the environment's
            configuration is no JSON.
        IntegrityError: a file of the unfinished dataset is damaged or missing.
        StorageError: the folder cannot be written to.
    """

    def __init__(
        self, path: Path | str, *, spaces: Spaces, env: EnvInfo, file_bytes: int = _FILE_BYTES
    ) -> None:
        self._folder = Path(path)
        self._origin = origin_to_json(spaces, env)
        self._required = required_specs(spaces)
        self._file_bytes = file_bytes
        self._hashers = ThreadPoolExecutor(1, thread_name_prefix="sha256")
        self._closers = ThreadPoolExecutor(1, thread_name_prefix="fsync")
        self._closing: Future[None] | None = None
        self._files: list[_File] = []
        self._specs: BatchSpecs | None = None
        self._pending: list[TrajectoryBatch] = []
        self._pending_rows = self._pending_bytes = 0
        self._part: _Part | None = None
        if (self._folder / MANIFEST_FILE).exists():
            raise RunError(
                "holds a finished dataset, which cannot be added to",
                where=str(self._folder),
                remedy="choose another folder, or delete this one",
            )
        with storage_errors(self._folder, "a dataset"):
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._folder)
        self._resume()

    @property
    def num_trajectories(self) -> int:
        """Trajectories in acknowledged files."""
        return sum(file.trajectories for file in self._acknowledged)

    @property
    def num_steps(self) -> int:
        """Steps in acknowledged files."""
        return sum(file.steps for file in self._acknowledged)

    @property
    def _acknowledged(self) -> list[_File]:
        return self._files if self._closing is None else self._files[:-1]

    def append(self, batch: TrajectoryBatch) -> None:
        """Adds trajectories; they are acknowledged when their file is full, or by ``flush``.

        The batch is not copied, and must not change until then.

        Raises:
            DataError: the batch is invalid, does not fit the spaces, or differs in columns from the others.
            StorageError: the disk is full or not writable; acknowledged files stay.
        """
        batch.validate()
        specs = batch.specs
        specs.check_has(self._required)
        self._specs = self._specs or specs
        self._specs.check_same(specs)
        if batch.num_trajectories == 0:
            return
        self._pending.append(batch)
        self._pending_rows += batch.num_steps
        self._pending_bytes += batch.nbytes
        if self._pending_rows >= _BLOCK_ROWS or self._pending_bytes >= _BLOCK_BYTES:
            self._write_pending()

    def flush(self) -> None:
        """Acknowledges all that was appended: closes the open file and waits until it is on the disk.

        Raises:
            StorageError: the disk is full or not writable; acknowledged files stay.
        """
        self._write_pending()
        self._close_part()
        self._wait()

    def finish(self, extra: Mapping[str, Any] | None = None) -> Dataset:
        """Acknowledges all that was appended and writes the manifest, after which the dataset is complete.

        Args:
            extra: what else to say of the dataset, as plain JSON values.

        Raises:
            DataError: nothing was appended.
            StorageError: the disk is full or not writable; acknowledged files stay.
        """
        self.flush()
        self._shut_down()
        if not self._files:
            raise DataError("no trajectory was appended to the dataset", where=str(self._folder))
        manifest = DatasetManifest(
            format_version=FORMAT_VERSION,
            **self._origin,
            files=[file.describe() for file in self._files],
            versions=versions(),
            extra=dict(extra or {}),
        )
        write_json(self._folder / MANIFEST_FILE, manifest.model_dump(), "the dataset's manifest")
        return open_dataset(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.flush()
        elif self._part is not None:
            self._part.abandon()
        self._shut_down()

    def _shut_down(self) -> None:
        self._closers.shutdown()
        self._hashers.shutdown()

    def _resume(self) -> None:
        found = sorted(path.name for path in self._folder.glob("*.arrow"))
        due = [PART_NAME.format(index) for index in range(len(found))]
        if found != due:
            missing = min(set(due) - set(found))
            raise IntegrityError(
                "the file is missing from the unfinished dataset",
                where=str(self._folder / missing),
                remedy="delete the folder, and write the dataset again",
            )
        for name in due:
            path = self._folder / name
            schema = part_schema(path)
            if part_origin(schema) != self._origin:
                raise DataError(
                    "comes from other spaces or another environment",
                    where=str(path),
                    remedy="choose another folder, or delete this one",
                )
            self._specs = read_specs(schema)
            digest = self._hashers.submit(sha256_file, path)
            self._files.append(_File(path, *part_size(path), digest))

    def _write_pending(self) -> None:
        if not self._pending:
            return
        block, self._pending = TrajectoryBatch.concat(self._pending), []
        self._pending_rows = self._pending_bytes = 0
        for piece in block.split_by_rows(-(-block.nbytes // self._file_bytes)):
            if piece.num_trajectories:
                self._write(piece)

    def _write(self, piece: TrajectoryBatch) -> None:
        if self._part is not None and self._part.nbytes + piece.nbytes > self._file_bytes:
            self._close_part()
        table = to_arrow(piece)
        table = table.replace_schema_metadata({**table.schema.metadata, ORIGIN_KEY: json.dumps(self._origin)})
        part = self._part
        if part is None:
            path = self._folder / PART_NAME.format(len(self._files))
            part = _Part(path, table.schema, self._hashers)
        self._part = None
        part.write(table, piece)
        self._part = part

    def _close_part(self) -> None:
        """Lets the open file be completed in a thread, while the next one is written."""
        if self._part is None:
            return
        self._wait()
        part, self._part = self._part, None
        digest = part.end()
        self._closing = self._closers.submit(part.close)
        self._files.append(_File(part.path, part.trajectories, part.steps, digest))

    def _wait(self) -> None:
        """Waits until the file that is being completed is on the disk; where it fails, it is no file."""
        if self._closing is None:
            return
        closing, self._closing = self._closing, None
        try:
            closing.result()
        except BaseException:
            self._files.pop()
            raise


class _File:
    """A file that is complete, or about to be, and whose hash is being computed."""

    def __init__(self, path: Path, trajectories: int, steps: int, digest: Future[str]) -> None:
        self.path = path
        self.trajectories = trajectories
        self.steps = steps
        self._digest = digest

    def describe(self) -> DatasetFile:
        return DatasetFile(
            name=self.path.name,
            trajectories=self.trajectories,
            steps=self.steps,
            bytes=self.path.stat().st_size,
            sha256=self._digest.result(),
        )


class _Part:
    """One Arrow file while it is written, under a temporary name."""

    def __init__(self, path: Path, schema: pa.Schema, hashers: Executor) -> None:
        self.path = path
        self.trajectories = self.steps = self.nbytes = 0
        self._stack = ExitStack()
        file = self._stack.enter_context(atomic_file(path, "a dataset"))
        self._file = HashingFile(file, hashers)
        self._arrow = pa.ipc.new_file(self._file, schema)

    def write(self, table: pa.RecordBatch, batch: TrajectoryBatch) -> None:
        self._or_abandon(lambda: self._arrow.write_batch(table))
        self.trajectories += batch.num_trajectories
        self.steps += batch.num_steps
        self.nbytes += batch.nbytes

    def end(self) -> Future[str]:
        """Writes the footer, once; gives the digest, when it is computed."""
        self._or_abandon(self._arrow.close)
        return self._file.digest()

    def close(self) -> None:
        """Puts the file on the disk and gives it its name."""
        self._stack.close()

    def _or_abandon(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise

    def abandon(self) -> None:
        with suppress(_AbandonedError), self._stack:
            raise _AbandonedError


class _AbandonedError(Exception):
    """Makes the open file go away without a name."""
