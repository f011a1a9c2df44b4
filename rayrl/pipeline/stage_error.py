"""How a stage's error gets from its job's process to the controller: as one line of the job's output.

A file in the run folder would not do, since the error may be that its disk is full.
"""

from __future__ import annotations

import json

from rayrl import errors
from rayrl.errors import RayrlError, StageError

_PREFIX = "rayrl-error: "


def to_line(error: Exception, unit: str) -> str:
    """The line that stands for an error; one that is not rayrl's becomes a ``StageError``."""
    if not isinstance(error, RayrlError):
        error = StageError(
            f"{type(error).__name__}: {error}",
            where=f"stage {unit}",
            remedy="the traceback stands in its log",
        )
    values = {
        "type": type(error).__name__,
        "message": error.message,
        "where": error.where,
        "remedy": error.remedy,
    }
    return _PREFIX + json.dumps(values)


def from_output(text: str) -> RayrlError | None:
    """The error that the last such line in a job's output stands for; None when there is none."""
    lines = [line for line in text.splitlines() if line.startswith(_PREFIX)]
    if not lines:
        return None
    try:
        values = json.loads(lines[-1].removeprefix(_PREFIX))
        kind = getattr(errors, values["type"])
        error: RayrlError = kind(values["message"], where=values["where"], remedy=values["remedy"])
    except (ValueError, KeyError, AttributeError):
        # The output was cut short within the line.
        return None
    return error
