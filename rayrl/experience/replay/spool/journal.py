"""The journal of a spool: one JSON value a line, the first of which is the state that the others change."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rayrl.config.base import Config
from rayrl.errors import ConfigError, IntegrityError
from rayrl.experience.replay.spool.append_only import AppendOnly
from rayrl.experience.replay.spool.write_ahead import Position
from rayrl.experience.replay.state import BufferState, PartitionState
from rayrl.experience.replay.store import Segment
from rayrl.storage.atomic import write_bytes

FORMAT_VERSION = "1.0"
_NAME = "journal-{:06d}.jsonl"
_WHAT = "the replay buffer's journal"

_log = logging.getLogger(__name__)


class Snapshot(Config):
    """The first line: all there is to know when a shard starts."""

    format_version: str = FORMAT_VERSION
    spool: str
    """Names the spool, whoever writes to it; a checkpoint of it names it too."""
    spaces: dict[str, Any]
    block_rows: int
    ticket: int
    """Number of the newest add that is in."""
    retained: list[str]
    """Segments that checkpoints name, by their hashes."""
    state: BufferState


class Sealed(Config):
    """A line: a partition has sealed a block."""

    next_block: int
    next_trajectory: int
    ticket: int
    position: Position
    partition: PartitionState
    """Of its blocks only the one that was sealed, which may be empty and have gone."""
    changed: list[tuple[int, Segment | None]]
    """Other segments of its blocks since the one before was sealed; None: the block has gone."""


class Recovered(Config):
    """What a journal says in the end."""

    snapshot: Snapshot
    """With the changes made to it."""
    positions: dict[str, Position]
    """Of each partition, where in its write-ahead files what is not sealed begins."""
    next_trajectory: dict[str, int]
    """Of each partition, the id of the next trajectory when it last sealed a block."""
    reserved: dict[str, int]
    """Of each partition that was filling a block without rows in the state, that block's number."""


class Journal:
    """The journal of one life of a shard; each life writes a new one, and reads that of the life before.

    Args:
        folder: the spool.
        life: which one.
        snapshot: the state that it begins with.

    Raises:
        StorageError: the disk is full or not writable.
    """

    def __init__(self, folder: Path, life: int, snapshot: Snapshot) -> None:
        path = folder / _NAME.format(life)
        write_bytes(path, _line({"snapshot": snapshot.model_dump(mode="json")}), _WHAT)
        self._next = folder / _NAME.format(life + 1)
        self._file = AppendOnly(path, _WHAT)

    @property
    def is_superseded(self) -> bool:
        """Whether another process has taken the spool over."""
        return self._next.exists()

    def write(self, **entry: Any) -> None:
        """Appends a line of one key.

        Raises:
            StorageError: the disk is full or not writable.
        """
        self._file.append(_line(entry))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def newest_life(folder: Path) -> int:
    """The number of the newest journal in a folder, 0 where there is none."""
    return max((int(path.stem.split("-")[1]) for path in folder.glob("journal-*.jsonl")), default=0)


def remove_journals(folder: Path, before: int) -> None:
    """Deletes the journals of the lives before one."""
    for path in folder.glob("journal-*.jsonl"):
        if int(path.stem.split("-")[1]) < before:
            path.unlink()


def read_journal(folder: Path, life: int) -> Recovered:
    """Reads a journal, and makes its changes to its state.

    Raises:
        IntegrityError: it is damaged, or of an unknown version.
    """
    path = folder / _NAME.format(life)
    try:
        lines = list(_values(path))
        version = lines[0]["snapshot"]["format_version"]
        if version != FORMAT_VERSION:
            raise ConfigError(f"format version {version!r} is not known")
        snapshot = Snapshot.parse(lines[0]["snapshot"], where=str(path))
        return _Replay(snapshot).over(lines[1:])
    except (ConfigError, LookupError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"the journal is damaged: {error}",
            where=str(path),
            remedy="restore a checkpoint into another spool",
        ) from error


def _values(path: Path) -> Iterator[Any]:
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            _log.warning("%s ends in a line that was cut off, which is passed over", path)
            return
        yield json.loads(line)


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class _Replay:
    """Makes the changes of a journal to the state that it begins with."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._partitions = {partition.name: partition for partition in snapshot.state.partitions}
        self._counts = {
            "next_block": snapshot.state.next_block,
            "next_trajectory": snapshot.state.next_trajectory,
        }
        self._ticket = snapshot.ticket
        self._retained = set(snapshot.retained)
        self._positions = {name: Position(0, 0, 0) for name in self._partitions}
        self._following = dict.fromkeys(self._partitions, snapshot.state.next_trajectory)
        self._reserved: dict[str, int] = {}

    def over(self, lines: list[Any]) -> Recovered:
        for line in lines:
            ((kind, value),) = line.items()
            _CHANGES[kind](self, value)
        state = self._snapshot.state.model_copy(
            update={"partitions": list(self._partitions.values()), **self._counts}
        )
        update = {"state": state, "ticket": self._ticket, "retained": sorted(self._retained)}
        return Recovered(
            snapshot=self._snapshot.model_copy(update=update),
            positions=self._positions,
            next_trajectory=self._following,
            reserved=self._reserved,
        )

    def _opened(self, value: Any) -> None:
        name, number = value
        self._reserved[name] = number
        self._counts["next_block"] = max(self._counts["next_block"], number + 1)

    def _sealed(self, value: Any) -> None:
        line = Sealed.parse(value, where="sealed")
        name = line.partition.name
        self._counts = {
            "next_block": max(self._counts["next_block"], line.next_block),
            "next_trajectory": line.next_trajectory,
        }
        self._ticket = line.ticket
        self._positions[name], self._following[name] = line.position, line.next_trajectory
        self._reserved.pop(name, None)
        changed = dict(line.changed)
        kept = [
            block.model_copy(update={"segment": changed.get(block.number, block.segment)})
            for block in self._partitions[name].blocks
            if changed.get(block.number, block.segment) is not None
        ]
        blocks = [*kept, *line.partition.blocks]
        self._partitions[name] = line.partition.model_copy(update={"blocks": blocks, "open": None})

    def _retain(self, value: Any) -> None:
        self._retained |= set(value)

    def _release(self, value: Any) -> None:
        self._retained = set(value)


_CHANGES = {
    "opened": _Replay._opened,
    "sealed": _Replay._sealed,
    "retained": _Replay._retain,
    "released": _Replay._release,
}
