"""Files of levels and replays: JSON of one model, which says what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from rayrl.config import Config
from rayrl.errors import ConfigError, DataError

T = TypeVar("T", bound=Config)


def read_json_file(path: Path, model: type[T], *, form: str, what: str, remedy: str) -> T:
    """Reads a file.

    Args:
        path: the file.
        model: what it holds.
        form: its field ``format``.
        what: what it is called in an error.
        remedy: what to do where it is something else.

    Raises:
        DataError: it cannot be read, is no JSON, of another format, or a field is wrong.
    """
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise DataError(f"is no JSON: {error}", where=str(path)) from error
    if not isinstance(values, dict) or values.get("format") != form:
        raise DataError(f"is no {what}", where=str(path), remedy=remedy)
    try:
        return model.parse(values, where=str(path))
    except ConfigError as error:
        raise DataError(error.message, where=str(path)) from error
