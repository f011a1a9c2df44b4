"""What is said of episodes that did not come to an end of their own: a failure, and of what.

An environment tells ``is_success``, or knows no success. Where it tells it, no episode that was played is
left without: one that a limit cut, or that raised, did not succeed.
"""

from __future__ import annotations

import numpy as np

from rayrl.evaluation.episodes import Ending, Metrics, Played
from rayrl.evaluation.result import DEATH, ERROR, STUCK, SUCCESS, TIMEOUT


def told_in(played: Played) -> frozenset[str]:
    """Which of success, death and being stuck the environment told of any episode."""
    return frozenset({SUCCESS, DEATH, STUCK} & played.metrics.keys())


def with_endings(played: Played, *, told: frozenset[str]) -> Metrics:
    """The metrics, completed by what the endings say.

        episode_success   0 where a limit of the evaluation cut the episode, or it raised, if not told
        timeout           1 where a limit cut it, or the environment did, without success; where the
                          environment tells ``timeout`` or ``stuck`` of those that it cut, that stands
        death, stuck      0 where not told, so that their means are shares of all episodes
        error             1 where it raised; only where any did

    Args:
        played: the episodes.
        told: what the environment tells, in these episodes or in others; without success there are no
            timeouts either, and the rest is as the environment has it.
    """
    metrics, endings = dict(played.metrics), played.endings
    raised = endings == Ending.raised
    if raised.any():
        metrics[ERROR] = raised.astype(np.float64)
    if SUCCESS not in told:
        return metrics
    unknown = np.full(len(endings), np.nan)
    success = metrics.get(SUCCESS, unknown).copy()
    success[np.isnan(success) & (endings >= Ending.cut)] = 0.0
    timeout, stuck = metrics.get(TIMEOUT, unknown).copy(), metrics.get(STUCK, unknown)
    overtime = (endings == Ending.truncated) & (success == 0) & (stuck != 1)
    timeout = np.where(np.isnan(timeout), overtime, timeout)
    timeout[endings == Ending.cut] = success[endings == Ending.cut] == 0
    timeout[raised] = 0.0
    causes = {cause: np.nan_to_num(metrics.get(cause, unknown)) for cause in (DEATH, STUCK) if cause in told}
    return metrics | causes | {SUCCESS: success, TIMEOUT: timeout}
