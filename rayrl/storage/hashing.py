"""SHA-256 of files, folders and JSON values, as lowercase hexadecimal digits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rayrl.errors import IntegrityError


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
