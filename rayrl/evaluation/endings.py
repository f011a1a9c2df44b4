"""What is said of episodes that did not come to an end of their own: a failure, and of what.

An environment tells ``is_success``, or knows no success. Where it tells it, no episode that was played is
left without: one that a limit cut, or that raised, did not succeed.
"""

from __future__ import annotations

import numpy as np

from rayrl.evaluation.episodes import Ending, Metrics, Played
from rayrl.evaluation.result import ERROR, STUCK, SUCCESS, TIMEOUT


def tells_success(played: Played) -> bool:
    """Whether the environment told of any episode whether it succeeded."""
    return SUCCESS in played.metrics


def with_endings(played: Played, *, tells: bool) -> Metrics:
    """The metrics, completed by what the endings say.

        episode_success   0 where a limit of the evaluation cut the episode, or it raised, if not told
        timeout           1 where a limit cut it, or the environment did, without success; where the
                          environment tells ``timeout`` or ``stuck`` of those that it cut, that stands
        error             1 where it raised; only where any did

    Args:
        played: the episodes.
        tells: whether the environment tells success; without it, there are no timeouts either.
    """
    metrics, endings = dict(played.metrics), played.endings
    raised = endings == Ending.raised
    if raised.any():
        metrics[ERROR] = raised.astype(np.float64)
    if not tells:
        return metrics
    unknown = np.full(len(endings), np.nan)
    success = metrics.get(SUCCESS, unknown).copy()
    success[np.isnan(success) & (endings >= Ending.cut)] = 0.0
    timeout, stuck = metrics.get(TIMEOUT, unknown).copy(), metrics.get(STUCK, unknown)
    overtime = (endings == Ending.truncated) & (success == 0) & (stuck != 1)
    timeout = np.where(np.isnan(timeout), overtime, timeout)
    timeout[endings == Ending.cut] = success[endings == Ending.cut] == 0
    timeout[raised] = 0.0
    return metrics | {SUCCESS: success, TIMEOUT: timeout}
