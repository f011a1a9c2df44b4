"""Warns when the policy moves too far in one update, and names the options that keep it from that."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

SPIKE_NATS = 0.1
"""A divergence in one update that is several times what PPO is run with (0.01 to 0.03) is a spike."""
RISE = 2.0
"""How often as far from the reference as before the update, beyond ``SPIKE_NATS``, is a spike as well."""

_REMEDIES = {
    "target_kl": "lower lr or num_epochs, or set target_kl_action: stop_epochs",
    "mean_kl_loss": "lower lr or num_epochs, or set target_kl",
    "kl_ref": "raise kl_ref.initial or kl_ref.decay_steps, or lower lr",
}
_SUBJECTS = {
    "target_kl": "the policy moved further than target_kl from the one that collected",
    "mean_kl_loss": "the policy moved far from the one that collected",
    "kl_ref": "the policy moved far from the reference",
}
_log = logging.getLogger(__name__)


class KLWatch:
    """Looks at the divergences of each update; says each kind of spike once, and counts them all.

    Args:
        target_kl: the divergence that is not to be exceeded; None for none.
    """

    def __init__(self, target_kl: float | None) -> None:
        self._target_kl = target_kl
        self._before = math.nan
        self._spikes: dict[str, dict[str, float]] = {}

    @property
    def warnings(self) -> list[str]:
        """One sentence for each kind of spike so far, with the remedy."""
        return [
            f"{_SUBJECTS[kind]} in {seen['count']:.0f} {'update' if seen['count'] == 1 else 'updates'}, the "
            f"first at step {seen['first']:,.0f}, by {seen['most']:.3g} nats at most: {_REMEDIES[kind]}"
            for kind, seen in self._spikes.items()
        ]

    def look(self, step: int, results: Mapping[str, float]) -> None:
        """Notes the spikes of an update.

        Args:
            step: environment steps so far.
            results: of the update, ``mean_kl_loss`` and perhaps ``kl_ref`` among them.
        """
        kl = results["mean_kl_loss"]
        if self._target_kl is not None and not kl <= self._target_kl:
            self._note("target_kl", step, kl)
        elif self._target_kl is None and not kl <= SPIKE_NATS:
            self._note("mean_kl_loss", step, kl)
        if "kl_ref" in results:
            now, before = results["kl_ref"], self._before
            if not now <= max(SPIKE_NATS, RISE * (0.0 if math.isnan(before) else before)):
                self._note("kl_ref", step, now)
            self._before = now

    def _note(self, kind: str, step: int, kl: float) -> None:
        new = kind not in self._spikes
        seen = self._spikes.setdefault(kind, {"first": step, "count": 0, "most": kl})
        seen["count"] += 1
        seen["most"] = max(seen["most"], kl)
        if new:
            _log.warning("step %d: %s, by %.3g nats: %s", step, _SUBJECTS[kind], kl, _REMEDIES[kind])

    def get_state(self) -> dict[str, Any]:
        """What has been seen, as plain values."""
        return {"before": self._before, "spikes": {kind: dict(seen) for kind, seen in self._spikes.items()}}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what ``get_state`` gave."""
        self._before = state["before"]
        self._spikes = {kind: dict(seen) for kind, seen in state["spikes"].items()}
