"""Which files of a dataset or a saved replay buffer are damaged, and which trajectories that hits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rayrl.errors import DataError, IntegrityError
from rayrl.experience import columns as c
from rayrl.experience.arrow import from_arrow
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import DatasetFile, open_dataset, read_part
from rayrl.experience.replay import saved
from rayrl.experience.stored.opening import Progress, Stored, StoredPart

_CHUNK = 1 << 20
_MAGIC_BYTES = 8
"""An Arrow file is a stream of messages after so many bytes; the footer comes last."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as the manifest says.

    Args:
        file: that is damaged.
        message: how.
        first: index of the first trajectory that is hit, in the order of its dataset; None where no
            trajectory is.
        last: of the last one.
        episodes: ids of the episodes that are hit, as far as they can still be read, 32 hexadecimal digits
            each.
    """

    file: Path
    message: str
    first: int | None = None
    last: int | None = None
    episodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.file}: {self.message}"
        if self.first is not None:
            text += f"; trajectories {self.first} to {self.last}"
        if self.episodes:
            more = len(self.episodes) - 3
            text += f", episodes {', '.join(self.episodes[:3])}" + (f" and {more} more" if more > 0 else "")
        return text


def verify(stored: Stored, progress: Progress | None = None) -> list[Problem]:
    """Checks every byte against the manifests, and of a buffer its parts against each other.

    A byte that was changed can be anywhere in its file, so all trajectories of the file are named. Of a file
    that was cut short, those before the cut are read, and only the others are named.

    Args:
        stored: what was opened.
        progress: told of bytes.
    """
    problems: list[Problem] = []
    sizes = []
    for part in stored.parts:
        try:
            sizes.append(sum(file.bytes for file in part.manifest.files))
        except IntegrityError as error:
            problems.append(Problem(Path(error.where or part.folder), error.message))
            sizes.append(0)
    done, total = 0, sum(sizes)

    def hashed(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    for part, size in zip(stored.parts, sizes, strict=True):
        if not size:
            continue
        found = _verify_part(part, hashed)
        if not found:
            found = _verify_opening(part) or list(_verify_counters(stored, part))
        problems += found
    return problems


def _verify_part(part: StoredPart, hashed: Callable[[int], None]) -> list[Problem]:
    problems, first = [], 0
    for file in part.manifest.files:
        last = first + file.trajectories - 1
        if problem := _verify_file(part.folder / file.name, file, first, last, hashed):
            problems.append(problem)
        first = last + 1
    return problems


def _verify_file(
    path: Path, file: DatasetFile, first: int, last: int, hashed: Callable[[int], None]
) -> Problem | None:
    if not path.is_file():
        hashed(file.bytes)
        return Problem(path, "is missing", first, last)
    size = path.stat().st_size
    if size < file.bytes:
        hashed(file.bytes)
        read = list(_readable(path))
        whole = sum(batch.num_trajectories for batch in read)
        message = f"is cut short: {size:,} of {file.bytes:,} bytes"
        if whole:
            message += f", of which trajectories {first} to {first + whole - 1} can be read"
        if whole == file.trajectories:
            return Problem(path, f"{message}, and only the footer is lost")
        return Problem(path, message, first + whole, last)
    if size > file.bytes:
        hashed(file.bytes)
        return Problem(path, f"has {size:,} bytes, not {file.bytes:,}", first, last)
    try:
        digest = _sha256(path, hashed)
    except OSError as error:
        return Problem(path, f"cannot be read: {error.strerror}", first, last)
    if digest != file.sha256:
        episodes = tuple(episode for batch in _readable(path) for episode in _episodes(batch))
        return Problem(path, "is altered: its sha256 is not the recorded one", first, last, episodes)
    try:
        batches = [(batch.num_trajectories, batch.num_steps) for batch in read_part(path)]
    except IntegrityError as error:
        return Problem(path, error.message, first, last)
    found = tuple(np.sum(batches, 0).tolist()) if batches else (0, 0)
    if found != (file.trajectories, file.steps):
        message = "holds {} trajectories and {} steps, where the manifest says {} and {}"
        return Problem(path, message.format(*found, file.trajectories, file.steps), first, last)
    return None


def _verify_opening(part: StoredPart) -> list[Problem]:
    try:
        open_dataset(part.folder)
    except IntegrityError as error:
        return [Problem(Path(error.where or part.folder), error.message)]
    return []


def _verify_counters(stored: Stored, part: StoredPart) -> Iterator[Problem]:
    """What a buffer's manifest says of a partition, against the partition's dataset."""
    if stored.buffer is None:
        return
    (of,) = [one for one in stored.buffer.partitions if one.name == part.name]
    where = stored.path / "manifest.json"
    steps = of.counters["steps_added"] - of.counters["steps_evicted"]
    held = sum(file.steps for file in part.manifest.files)
    if held != steps:
        yield Problem(where, f"says that partition {part.name!r} holds {steps} steps, and it holds {held}")
    begun = stored.buffer.next_trajectory
    rows = stored.buffer.options.block_rows or 1
    blocks = dict(of.blocks)
    first = 0
    for file in part.manifest.files:
        for batch in read_part(part.folder / file.name):
            row_ids: NDArray[np.int64] = batch.columns[saved.ROW_ID]  # type: ignore[assignment]
            for number in np.unique(row_ids // rows).tolist():
                offsets = row_ids[row_ids // rows == number] % rows
                if number not in blocks or offsets.max() >= blocks[number]:
                    message = f"has rows of block {number} that the buffer's manifest does not know"
                    last = first + batch.num_trajectories - 1
                    yield Problem(part.folder / file.name, message, first, last)
            ids: NDArray[np.int64] = batch.trajectory_columns[saved.TRAJECTORY_ID]  # type: ignore[assignment]
            if ids.max() >= begun:
                yield Problem(where, f"says that {begun} trajectories were begun, and one has id {ids.max()}")
            first += batch.num_trajectories


def _readable(path: Path) -> Iterator[TrajectoryBatch]:
    """The batches before the first that cannot be read, without the file's footer."""
    try:
        with pa.memory_map(str(path)) as source:
            source.seek(_MAGIC_BYTES)
            with pa.ipc.open_stream(source) as reader:
                for table in reader:
                    batch = from_arrow(table)
                    batch.validate()
                    yield batch
    except (pa.ArrowException, DataError, OSError, ValueError):
        # What cannot be read is what is being looked for.
        return


def _episodes(batch: TrajectoryBatch) -> list[str]:
    ids: Any = batch.trajectory_columns[c.EPISODE_ID]
    return list(dict.fromkeys(episode_text(ids)))


def episode_text(ids: NDArray[np.uint64]) -> list[str]:
    """Episode ids ``(n, 2)`` as 32 hexadecimal digits each."""
    return [f"{high:016x}{low:016x}" for high, low in ids.tolist()]


def _sha256(path: Path, hashed: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            hashed(len(chunk))
    return digest.hexdigest()
