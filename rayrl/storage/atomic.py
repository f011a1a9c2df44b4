"""Files and folders that are there whole or not at all, and errors that say why a write failed.

What is written stands under a temporary name beside its place until it is complete and on the disk, and is
then renamed. A process that is killed leaves at most a temporary name, ``.<name>.<hex>.tmp``, which
``remove_leftovers`` deletes; no reader of rayrl looks at such names.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from rayrl.errors import IntegrityError, StorageError

_CAUSES = {
    errno.ENOSPC: ("the disk is full", "free space there, or choose a folder on another disk"),
    errno.EDQUOT: ("the disk quota is used up", "free space there, or choose a folder on another disk"),
    errno.EFBIG: ("the file would exceed the size limit", "raise the limit (`ulimit -f`), or write less"),
    errno.EROFS: ("the file system is read-only", "choose a folder that can be written to"),
    errno.EACCES: ("permission denied", "choose a folder that can be written to, or change its permissions"),
    errno.EPERM: ("not permitted", "choose a folder that can be written to, or change its permissions"),
    errno.ENOTDIR: ("a file stands where a folder is needed", "move that file, or choose another folder"),
    errno.EEXIST: ("a file stands where a folder is needed", "move that file, or choose another folder"),
    errno.EIO: ("the disk reports an input/output error", "check the disk, or choose another one"),
}


@contextmanager
def storage_errors(path: Path, what: str) -> Iterator[None]:
    """Turns what the system says about a failed write into an error that a user can act on.

    Args:
        path: the file or folder that is written.
        what: what it is, in words ("the dataset's manifest").

    Raises:
        StorageError: in place of an ``OSError`` of a known cause; others pass.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _CAUSES:
            raise
        cause, remedy = _CAUSES[error.errno]
        raise StorageError(f"could not write {what}: {cause}", where=str(path), remedy=remedy) from error


@contextmanager
def atomic_file(path: Path, what: str) -> Iterator[BinaryIO]:
    """A new file, open for writing, that takes its place when the block ends without an error.

    Missing parent folders are made. After an error nothing is left, and a file that stood there stays.

    Raises:
        StorageError: naming the path, ``what`` and the remedy.
    """
    temporary = _temporary_name(path)
    with storage_errors(path, what):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_path(path.parent)


@contextmanager
def atomic_folder(path: Path, what: str) -> Iterator[Path]:
    """A new folder to fill, that takes its place when the block ends without an error.

    A folder that stood there is replaced. A crash while it is replaced leaves the old one, the new one or
    none under the name ``path``, never a mix of the two.

    Raises:
        StorageError: naming the path, ``what`` and the remedy.
    """
    temporary, replaced = _temporary_name(path), _temporary_name(path)
    with storage_errors(path, what):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for entry in [*temporary.rglob("*"), temporary]:
                fsync_path(entry)
            if path.exists():
                path.rename(replaced)
            temporary.rename(path)
        except BaseException:
            if temporary.exists():
                shutil.rmtree(temporary)
            if replaced.exists() and not path.exists():
                replaced.rename(path)
            raise
        fsync_path(path.parent)
        if replaced.exists():
            shutil.rmtree(replaced)


def atomic_link(path: Path, target: str, what: str) -> None:
    """Makes a symbolic link, or lets one that is there point elsewhere, with no moment without it.

    Args:
        path: the link.
        target: where it points, relative to the link's folder.
        what: what it is, in words.

    Raises:
        StorageError: naming the path, ``what`` and the remedy.
    """
    temporary = _temporary_name(path)
    with storage_errors(path, what):
        temporary.symlink_to(target)
        temporary.replace(path)
        fsync_path(path.parent)


def write_bytes(path: Path, data: bytes, what: str) -> None:
    """Writes a file whole or not at all.

    Raises:
        StorageError: naming the path, ``what`` and the remedy.
    """
    with atomic_file(path, what) as file:
        file.write(data)


def write_text(path: Path, text: str, what: str) -> None:
    """Writes a UTF-8 file whole or not at all.

    Raises:
        StorageError: naming the path, ``what`` and the remedy.
    """
    write_bytes(path, text.encode(), what)


def write_json(path: Path, value: Any, what: str) -> None:
    """Writes a JSON file, indented and in the value's own key order, whole or not at all.

    Raises:
        StorageError: naming the path, ``what`` and the remedy.
        ValueError: the value holds NaN or an infinity, which JSON does not have.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", what)


def read_json(path: Path, what: str) -> Any:
    """Reads a JSON file.

    Raises:
        IntegrityError: the file is missing, cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise IntegrityError(f"{what} is missing", where=str(path)) from None
    except OSError as error:
        raise IntegrityError(f"{what} cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise IntegrityError(f"{what} is not valid JSON: {error}", where=str(path)) from error


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Deletes the temporary names that killed processes left in a folder; nothing may be writing there.

    Args:
        folder: the folder.
        name: of what they were to become; None deletes all.
    """
    begins = "." if name is None else f".{name}."
    for leftover in filter(is_temporary, folder.iterdir()):
        if not leftover.name.startswith(begins):
            continue
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def fsync_path(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_temporary(path: Path) -> bool:
    """Whether a name is one under which a file or a folder waits to be complete."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
