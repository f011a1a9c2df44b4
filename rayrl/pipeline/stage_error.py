"""How a stage's error gets from its job's process to the controller: as one line of the job's output.

A file in the run folder would not do, since the error may be that its disk is full.
"""

from __future__ import annotations

import json

from rayrl import errors
from rayrl.errors import RayrlError

_PREFIX = "rayrl-error: "


def to_line(error: RayrlError) -> str:
    """The line that stands for an error."""
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
