"""What an import read and what it dropped, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ImportReport:
    """Grows while something is imported.

    Attributes:
        read: what was read, by name.
        dropped: how many of what were passed over.
        notes: what had to be decided, each in a sentence.
    """

    def __init__(self) -> None:
        self.read: dict[str, Any] = {}
        self.dropped: dict[str, int] = {}
        self.notes: list[str] = []

    def drop(self, what: str, count: int = 1) -> None:
        """Notes that something, in words with its reason, was passed over."""
        if count:
            self.dropped[what] = self.dropped.get(what, 0) + count

    def drop_all(self, dropped: Mapping[str, int]) -> None:
        """Notes several at once."""
        for what, count in dropped.items():
            self.drop(what, count)

    def note(self, sentence: str) -> None:
        """Notes a decision."""
        self.notes.append(sentence)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"read": self.read, "dropped": self.dropped, "notes": self.notes}
