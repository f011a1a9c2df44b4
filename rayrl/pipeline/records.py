"""Structured records of a run: one JSON object per line, by the stages for controller and status.

Each has ``time`` (ISO 8601, UTC), ``run`` (the run's id), ``level``, ``logger``, ``message``; those that
mark what a unit does have an ``event`` too: ``started``, ``progress`` (``done``, ``total``, ``unit`` and any
values), ``finished``, ``stopped`` or ``failed``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rayrl.storage.atomic import storage_errors

ROOT = "rayrl"
"""The logger above all of rayrl's."""

_TAIL_BYTES = 65536


class RecordHandler(logging.Handler):
    """Appends log records to a file of JSON lines.

    Fields beyond the message come from ``extra={"fields": {...}}``.

    Args:
        path: the file; its folder must exist.
        run: the run's id.

    Raises:
        StorageError: the disk is full or not writable; so does each record that is logged.
    """

    def __init__(self, path: Path, *, run: str) -> None:
        super().__init__()
        self._path = path
        self._run = run
        with storage_errors(path, "a log"):
            self._file = path.open("a", encoding="utf-8", buffering=1)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line."""
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "run": self._run,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            values["traceback"] = logging.Formatter().formatException(record.exc_info)
        with storage_errors(self._path, "a log"):
            self._file.write(json.dumps(values, default=str) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


@contextmanager
def recorded(path: Path, *, run: str, logger: str = ROOT) -> Iterator[None]:
    """Writes what a logger gets within the block, of level INFO and above, into a file of records.

    Raises:
        StorageError: the disk is full or not writable.
    """
    log, handler = logging.getLogger(logger), RecordHandler(path, run=run)
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


class RecordReader:
    """Reads what is new in a file of records, again and again.

    Args:
        path: the file; need not exist yet.
        from_end: leave out what stands there already.
    """

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self._path = path
        self._offset = path.stat().st_size if from_end and path.exists() else 0

    def read(self) -> list[dict[str, Any]]:
        """The records that were completed since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return _parse(whole)


def last_records(path: Path) -> list[dict[str, Any]]:
    """The newest records of a file, oldest first; empty when there is none."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - _TAIL_BYTES)
        file.seek(start)
        text = file.read()
    return _parse(text if start == 0 else text[text.find(b"\n") + 1 :])


def _parse(text: bytes) -> list[dict[str, Any]]:
    records = []
    for line in text.splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            # A process that was killed may have left half a line.
            continue
    return records
