"""Whether two processes that name the same folder mean the same one: what one writes, the other reads.

whoever starts the work            each node on which it may run
───────────────────────            ─────────────────────────────
Mark.write ── a nonce in a file ─▶ is_seen: is it there, with this content?
unanswered ◀──── the same nonce ── answer: a file of its own beside it
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rayrl.errors import StorageError
from rayrl.storage.atomic import storage_errors

REMEDY = (
    "mount one file system at the same path on all nodes, and where the run is started from, "
    "and name a folder on it with --run-dir"
)
_PATIENCE_S = 5.0
"""Seconds that a file may take to be seen from another node."""
_POLL_S = 0.25
_QUESTION = "asked"


@dataclass(frozen=True, slots=True)
class Mark:
    """A nonce in a folder, written by the one who asks others whether they see it.

    Args:
        folder: the folder that they share, or not.
        nonce: the name of the mark, and what stands in its files.
    """

    folder: Path
    nonce: str

    @classmethod
    def write(cls, folder: Path) -> Mark:
        """Leaves a mark in a folder, which is made if it is not there.

        Raises:
            StorageError: the folder cannot be written to.
        """
        mark = cls(folder, secrets.token_hex(16))
        with storage_errors(folder, "a mark in the run folder"):
            mark.path.mkdir(parents=True)
            (mark.path / _QUESTION).write_text(mark.nonce)
        return mark

    @property
    def path(self) -> Path:
        """The folder of the mark and its answers; its name is that of a leftover, should it be left."""
        return self.folder / f".mark.{self.nonce}.tmp"

    def is_seen(self) -> bool:
        """Whether this process sees what was written; waits for a moment where it does not yet."""
        return _reads(self.path / _QUESTION, self.nonce)

    def answer(self, name: str) -> None:
        """Writes the same beside it; ``is_seen`` comes first, lest something is left where it is not shared.

        Args:
            name: of the answer's file.

        Raises:
            StorageError: the folder cannot be written to from here.
        """
        with storage_errors(self.folder, "an answer in the run folder"):
            (self.path / name).write_text(self.nonce)

    def unanswered(self, names: Iterable[str]) -> list[str]:
        """Those of the names under which no answer is seen from here."""
        return [name for name in names if not _reads(self.path / name, self.nonce)]

    def remove(self) -> None:
        """Removes the mark and its answers."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def marked(folder: Path) -> Iterator[Mark]:
    """A mark in a folder for the length of a block.

    Raises:
        StorageError: the folder cannot be written to.
    """
    mark = Mark.write(folder)
    try:
        yield mark
    finally:
        mark.remove()


def node_name(address: str, node_id: str) -> str:
    """A node's address, and as much of its id as tells it from others of the same host."""
    return f"{address} ({node_id[:8]})"


def not_shared(nodes: Iterable[str], folder: Path) -> StorageError:
    """What is raised where nodes do not share a folder.

    Args:
        nodes: their names.
        folder: the folder.
    """
    names = list(nodes)
    which = f"node {names[0]}" if len(names) == 1 else f"nodes {', '.join(names)}"
    return StorageError(
        f"{which}: what is written here is not seen there, or not from there",
        where=str(folder),
        remedy=REMEDY,
    )


def _reads(file: Path, text: str) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while not (seen := _holds(file, text)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return seen


def _holds(file: Path, text: str) -> bool:
    try:
        return file.read_text() == text
    except OSError:
        # Not there (yet), or not to be read: either way it is not seen.
        return False
