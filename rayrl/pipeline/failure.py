"""Why a trial, or a seed's pretraining, failed for good: ``failure.json`` in its folder.

Its presence says that the others went on without it. The same command tries it again, and removes the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from rayrl.config import Config
from rayrl.pipeline.trial_resources import TrialResources
from rayrl.storage.atomic import read_json, write_json
from rayrl.storage.manifest import MANIFEST_FILE, read_manifest

FAILURE_FILE = "failure.json"
FAILED = "failed"
"""Key of a unit's manifest under which stands what failed in it, by name, with the error."""
_WHAT = "the record of a failure"

Kind = Literal["error", "out_of_memory", "lost", "no_pretraining"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Failure(Config):
    """A failure."""

    name: str
    """The trial, or the seed's pretraining."""
    kind: Kind
    """``lost``: its processes ended again and again without saying why."""
    error: str
    """What was raised, and what to do about it."""
    chunk: int = 1
    """The part of training in which it happened."""
    resources: TrialResources = TrialResources()
    """The most that it was seen to take."""
    when: str = Field(default_factory=_now)
    """ISO 8601, UTC."""


def write_failure(folder: Path, failure: Failure) -> None:
    """Records a failure in the folder of what failed.

    Raises:
        StorageError: the disk is full or not writable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FAILURE_FILE, failure.model_dump(), _WHAT)


def read_failure(folder: Path) -> Failure | None:
    """The failure that is recorded in a folder; None where there is none.

    Raises:
        IntegrityError: the record is damaged.
    """
    file = folder / FAILURE_FILE
    return Failure.parse(read_json(file, _WHAT), where=str(file)) if file.exists() else None


def forget_failure(folder: Path) -> None:
    """Removes the record: what failed is tried again, or is done."""
    (folder / FAILURE_FILE).unlink(missing_ok=True)


def headline(error: str) -> str:
    """An error in a line, without what to do about it; of a traceback what was raised.

    Args:
        error: a message, of one line or several.
    """
    lines = [line for line in error.splitlines() if line.strip() and not line[0].isspace()]
    if not lines:
        return error.strip()
    return f"{lines[0]} {lines[-1]}" if any(line.startswith("Traceback") for line in lines) else lines[0]


def paragraphs(failed: Mapping[str, str]) -> str:
    """What failed, each in lines of its own, indented.

    Args:
        failed: by name, the error.
    """
    texts = []
    for name, error in failed.items():
        first, *others = [line for line in f"{name}: {error}".splitlines() if line.strip()]
        texts.append("\n".join([f"  {first}", *(f"    {line}" for line in others)]))
    return "\n".join(texts)


def failed_in(stage: Path) -> Mapping[str, str]:
    """What failed in a unit that went on without it, by name, with the error; nothing before it is done.

    Args:
        stage: the unit's folder.

    Raises:
        IntegrityError: its manifest is damaged.
    """
    if not (stage / MANIFEST_FILE).exists():
        return {}
    found: Mapping[str, str] = read_manifest(stage).extra.get(FAILED, {})
    return found
