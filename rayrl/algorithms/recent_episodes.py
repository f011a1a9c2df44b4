"""The last finished episodes of all workers, which the reported means are over."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rayrl.rollout.episodes import FinishedEpisodes


class RecentEpisodes:
    """Keeps the newest episodes, in the order in which the workers' batches are taken.

    Args:
        window: how many to keep.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.total = 0
        self._kept = FinishedEpisodes(np.empty(0), np.empty(0, np.int64), np.empty(0, np.float32))

    def add(self, episodes: FinishedEpisodes) -> None:
        """Takes in a batch's episodes."""
        self.total += len(episodes)
        kept = FinishedEpisodes.concat([self._kept, episodes])
        last = slice(max(len(kept) - self.window, 0), None)
        self._kept = FinishedEpisodes(kept.returns[last], kept.lengths[last], kept.successes[last])

    def metrics(self) -> dict[str, float]:
        """Means, minima and maxima by RLlib's names; NaN before the first episode has ended.

        ``success_rate`` is there once an episode has said whether it succeeded.
        """
        kept = self._kept
        if not len(kept):
            return {"episode_return_mean": math.nan, "episode_len_mean": math.nan}
        known = kept.successes[~np.isnan(kept.successes)]
        return {
            "episode_return_mean": float(kept.returns.mean()),
            "episode_return_min": float(kept.returns.min()),
            "episode_return_max": float(kept.returns.max()),
            "episode_len_mean": float(kept.lengths.mean()),
            "episode_len_min": float(kept.lengths.min()),
            "episode_len_max": float(kept.lengths.max()),
            **({"success_rate": float(known.mean())} if len(known) else {}),
        }

    def get_state(self) -> dict[str, Any]:
        """The kept episodes and the count of all."""
        kept = self._kept
        return {
            "total": self.total,
            "returns": kept.returns,
            "lengths": kept.lengths,
            "successes": kept.successes,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_state`` gave."""
        self.total = state["total"]
        self._kept = FinishedEpisodes(state["returns"], state["lengths"], state["successes"])
