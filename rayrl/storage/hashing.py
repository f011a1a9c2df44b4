"""SHA-256 of files, folders and JSON values, as lowercase hexadecimal digits."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, BinaryIO

from rayrl.errors import IntegrityError

_SMALL_BYTES = 1 << 16
"""Writes of fewer bytes are hashed together: handing one to a thread costs more than hashing it."""
_MOST_WAITING = 4
"""Writes that may wait to be hashed; they hold the memory that was written."""


def sha256_file(path: Path) -> str:
    """The digest of a file's bytes.

    Raises:
        IntegrityError: the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise IntegrityError(f"cannot be read: {error.strerror}", where=str(path)) from error


def sha256_json(value: Any) -> str:
    """The digest of a JSON value's canonical form: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON does not have.
        TypeError: the value is no JSON value.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_path(path: Path) -> str:
    """The digest of a file, or of a folder as the JSON object ``{relative path: digest}`` of its files.

    Raises:
        IntegrityError: the path is missing or cannot be read.
    """
    if not path.is_dir():
        return sha256_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return sha256_json({file.relative_to(path).as_posix(): sha256_file(file) for file in files})


class HashingFile:
    """Writes to a file, and meanwhile hashes what is written in a thread.

    Args:
        file: open for writing; it stays open.
        executor: with one thread, where hashing takes place in the order of the writes.
    """

    def __init__(self, file: BinaryIO, executor: Executor) -> None:
        self._file = file
        self._executor = executor
        self._digest = hashlib.sha256()
        self._small = bytearray()
        self._hashing: deque[Future[None]] = deque()

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._file.closed

    def write(self, data: Any) -> int:
        """Writes bytes, which must not change before ``digest`` is called."""
        view = memoryview(data).cast("B")
        if view.nbytes < _SMALL_BYTES:
            self._small += view
        else:
            self._hash(self._take_small())
            self._hash(view)
        return self._file.write(view)

    def flush(self) -> None:
        """Hands what is buffered to the system."""
        self._file.flush()

    def tell(self) -> int:
        """Bytes written."""
        return self._file.tell()

    def digest(self) -> Future[str]:
        """The SHA-256 of all that was written, in lowercase hexadecimal digits, once it is computed."""
        self._hash(self._take_small())
        return self._executor.submit(self._digest.hexdigest)

    def _take_small(self) -> bytes:
        small, self._small = bytes(self._small), bytearray()
        return small

    def _hash(self, data: bytes | memoryview) -> None:
        if len(data):
            self._hashing.append(self._executor.submit(self._digest.update, data))
        while len(self._hashing) > _MOST_WAITING:
            self._hashing.popleft().result()
