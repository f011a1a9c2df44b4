"""Whether there are training seeds enough to compare by, before any is trained."""

from __future__ import annotations

from collections.abc import Sequence

from rayrl.errors import ConfigError
from rayrl.evaluation.statistics import ENOUGH_RUNS, FEWEST_RUNS


def check_seeds(seeds: Sequence[int], *, where: str) -> str | None:
    """What to say of few seeds; None where there are enough.

    Args:
        seeds: of the experiment.
        where: the experiment's file.

    Raises:
        ConfigError: there are too few for statistics over them.
    """
    if len(seeds) < FEWEST_RUNS:
        raise ConfigError(
            f"seeds = {[*seeds]}: a comparison needs at least {FEWEST_RUNS} training seeds, and there "
            f"{'is' if len(seeds) == 1 else 'are'} {len(seeds)}",
            where=where,
            remedy=f"name {FEWEST_RUNS} or more, better {ENOUGH_RUNS}; `rayrl run` takes fewer",
        )
    if len(seeds) < ENOUGH_RUNS:
        return (
            f"seeds = {[*seeds]}: intervals over so few are too narrow; from {ENOUGH_RUNS} on they are worth "
            "something"
        )
    return None
