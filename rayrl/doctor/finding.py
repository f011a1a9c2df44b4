"""What was looked at, and how it is."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from rayrl.config import Config
from rayrl.errors import RayrlError

State = Literal["ok", "warning", "problem"]
"""``problem``: a run, or the given experiment, cannot go through. ``warning``: it can, but not well."""


class Finding(Config):
    """One thing that was looked at."""

    check: str
    """What was looked at, in one word."""
    state: State
    message: str
    remedy: str | None = None
    """What to do about it; null where there is nothing to do."""
    facts: dict[str, Any] = Field(default={})
    """The same as plain JSON values, for programs."""


class Diagnosis(Config):
    """All that was looked at."""

    healthy: bool
    """Whether there is no problem; there may be warnings."""
    findings: tuple[Finding, ...]


def of_error(check: str, error: RayrlError) -> Finding:
    """The problem that an error tells of."""
    message = f"{error.where}: {error.message}" if error.where else error.message
    return Finding(check=check, state="problem", message=message, remedy=error.remedy)


def gib(amount: float) -> str:
    """Bytes in words."""
    return f"{amount / 2**30:.1f} GiB"
