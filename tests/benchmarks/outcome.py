"""What a row of the benchmarks came to, as a line of the table and as JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayrl.storage.processor import cpu_model

HEADING = f"{'row':<30}{'rayrl':>11}{'limit':>11}{'ratio':>7}   peers, and how many times faster rayrl is"


@dataclass(frozen=True)
class Outcome:
    """Medians over the rounds.

    Args:
        row: the row's name.
        unit: of the rates.
        rates: by ``rayrl``, ``limit`` and the peers' names.
        ratios: rayrl's rate by that of another, round by round.
        facts: figures beside the rates.
        missed: the goals that were not reached, in words.
    """

    row: str
    unit: str
    rates: Mapping[str, float]
    ratios: Mapping[str, float]
    facts: Mapping[str, float]
    missed: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """The row of ``build/bench.json``; ``ratio`` is that to the limit, null where there is none."""
        return {
            "row": self.row,
            "unit": self.unit,
            "rayrl": self.rates["rayrl"],
            "limit": self.rates.get("limit"),
            "peers": self._peers(),
            "ratio": self.ratios.get("limit"),
            "facts": dict(self.facts),
        }

    def line(self) -> str:
        """One line of the table."""
        limit, ratio = self.rates.get("limit"), self.ratios.get("limit")
        peers = ", ".join(
            f"{name} {rate:,.0f} ({self.ratios[name]:.2f}×)" for name, rate in self._peers().items()
        )
        facts = "".join(f"; {name} {value:.3g}" for name, value in self.facts.items())
        missed = "  MISSED" if self.missed else ""
        return (
            f"{self.row:<30}{self.rates['rayrl']:>11,.0f}{'–' if limit is None else f'{limit:,.0f}':>11}"
            f"{'–' if ratio is None else f'{ratio:.2f}':>7}   {peers}{facts}{missed}"
        )

    def _peers(self) -> dict[str, float]:
        return {name: rate for name, rate in self.rates.items() if name not in ("rayrl", "limit")}


def machine() -> str:
    """What the figures were measured on, and how busy it is."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{cpu_model()}, {len(os.sched_getaffinity(0))} cores; load {load} in the last 1, 5, 15 minutes"
