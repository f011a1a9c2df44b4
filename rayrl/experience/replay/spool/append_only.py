"""A file that only grows, by whole records: one that cannot be written whole is taken back."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from rayrl.storage.atomic import storage_errors


class AppendOnly:
    """A file to append to. What was appended is with the operating system, and outlives the process.

    It is closed by ``close``, or when nothing refers to it any more.

    Args:
        path: the file; what it holds already stays.
        what: what it is, in words.

    Raises:
        StorageError: the disk is full or not writable.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what
        with storage_errors(path, what):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._close = weakref.finalize(self, os.close, self._file)
        self._size = os.fstat(self._file).st_size

    def append(self, data: bytes | memoryview) -> None:
        """Appends a record.

        Raises:
            StorageError: the disk is full or not writable; the file is as it was.
        """
        view = memoryview(data).cast("B")
        with storage_errors(self.path, self._what):
            try:
                left = view
                while left:
                    left = left[os.write(self._file, left) :]
            except OSError:
                os.ftruncate(self._file, self._size)
                raise
        self._size += len(view)

    def close(self) -> None:
        """Closes the file, unless it is closed."""
        self._close()
