"""Files of levels and replays: JSON of one model, which says what it is."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from rayrl.config import Config
from rayrl.config.base import Location, describe
from rayrl.errors import DataError

T = TypeVar("T", bound=Config)


def read_json_file(path: Path, model: type[T], *, form: str, what: str, entry: str, remedy: str) -> T:
    """Reads a file. What is wrong with an entry is said of its id, which is what its reader knows it by.

    Args:
        path: the file.
        model: what it holds.
        form: its field ``format``.
        what: what it is called in an error.
        entry: what something with an id in it is called.
        remedy: what to do where it is something else.

    Raises:
        DataError: it cannot be read, is no JSON, of another format, a key stands twice, or a field is wrong.
    """
    try:
        values = json.loads(path.read_text(), object_pairs_hook=partial(_each_key_once, path))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"is no JSON: {error}", where=str(path)) from error
    if not isinstance(values, dict) or values.get("format") != form:
        raise DataError(f"is no {what}", where=str(path), remedy=remedy)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        place = partial(_place, values, entry)
        raise DataError(describe(error, model, place), where=str(path)) from None


def _each_key_once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key that stands twice, Python would take the last without a word."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        of = f"{made['id']!r} " if isinstance(made.get("id"), str) else ""
        raise DataError(f"{of}has the key {twice!r} twice", where=str(path))
    return made


def _place(values: Any, entry: str, location: Location) -> str:
    """The entry that a field belongs to, by its id."""
    named = ""
    for key in location:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(values, dict) and isinstance(values.get("id"), str):
            named = f"{entry} {values['id']!r}: "
    return named
