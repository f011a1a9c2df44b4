"""Paths in options: relative to the file, or to the folder, in which they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator


class SourceText(str):
    """Text of an options file or an override, that knows where a relative path in it starts."""

    __slots__ = ("base",)

    base: Path

    def __new__(cls, text: str, base: Path) -> Self:
        """Text whose relative paths start at the folder ``base``."""
        made = super().__new__(cls, text)
        made.base = base
        return made

    def __getnewargs__(self) -> tuple[str, Path]:  # type: ignore[override]
        return str(self), self.base


def existing_path(value: Any) -> Any:
    """The absolute path that an option's text stands for; what is no text is left to the next validator.

    Raises:
        ValueError: there is no such file or folder.
    """
    if not isinstance(value, str | Path):
        return value
    base = value.base if isinstance(value, SourceText) else Path.cwd()
    path = (base / Path(value).expanduser()).resolve()
    if not path.exists():
        raise ValueError(f"there is no such file or folder: {path}")
    return path


InputPath = Annotated[Path, BeforeValidator(existing_path)]
"""An input of an experiment: a file or a folder that exists, as an absolute path.

A run copies it into its own folder and records its hash.
"""
