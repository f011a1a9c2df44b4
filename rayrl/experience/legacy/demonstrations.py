"""Pickled demonstration sets (``demo_data``, ``stats``) as trajectories of one step each."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium as gym
import numpy as np

from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import Source
from rayrl.experience.legacy.reading import Legacy
from rayrl.experience.legacy.replay_buffers import fitted
from rayrl.experience.legacy.report import ImportReport
from rayrl.experience.ragged import Ragged
from rayrl.storage.spaces import Spaces

_BATCH_ROWS = 16_384


def spaces_of_demonstrations(legacy: Legacy) -> Spaces:
    """An unbounded box, and as many actions as were taken or counted."""
    stats = legacy.values.get("stats")
    counted = stats.get("action_distribution") if isinstance(stats, dict) else None
    known = [int(action) for action in counted if action.isdecimal()] if isinstance(counted, dict) else []
    n = max([int(legacy.arrays["actions"].max()), *known]) + 1
    shape = legacy.arrays["states"].shape[1:]
    return Spaces(gym.spaces.Box(-np.inf, np.inf, shape, np.float32), gym.spaces.Discrete(n))


def demonstration_batches(
    legacy: Legacy, spaces: Spaces, id_high: int, *, report: ImportReport
) -> Iterator[TrajectoryBatch]:
    """The samples of a demonstration set.

    Neither rewards nor what came after an action are in the file: rewards are NaN, and the final observation
    is the sample's own.

    Args:
        legacy: the file's contents.
        spaces: whose shapes and element types the columns get.
        id_high: first half of the ids.
        report: told of what is read, dropped and decided.

    Raises:
        DataError: the samples do not fit the spaces.
    """
    arrays, values = legacy.arrays, legacy.values
    names = values["policies"]
    count = len(arrays["actions"])
    report.read |= {"layout": legacy.layout, "steps": count, "trajectories": count, "demonstrators": names}
    if values["stats"] is not None:
        report.read["statistics"] = values["stats"]
    report.note(
        "samples are trajectories of one step: their order is not in the file, so a split puts each on a "
        "side of its own"
    )
    report.note("rewards are not in the file: they are NaN, which only cloning can learn from")
    report.note("next observations are not in the file: the final observation is the sample's own")
    for start in range(0, count, _BATCH_ROWS):
        mine = slice(start, min(start + _BATCH_ROWS, count))
        n = mine.stop - start
        obs = fitted(np.asarray(arrays["states"][mine]), spaces.observation, c.OBS)
        unknown = np.full(n, np.nan)
        ids = [np.full(n, id_high, np.uint64), np.arange(start, mine.stop, dtype=np.uint64)]
        yield TrajectoryBatch(
            {
                c.OBS: obs,
                c.ACTIONS: fitted(np.asarray(arrays["actions"][mine]), spaces.action, c.ACTIONS),
                c.REWARDS: unknown.astype(np.float32),
            },
            np.arange(n + 1, dtype=np.int64),
            {
                c.EPISODE_ID: np.stack(ids, 1),
                c.FIRST_STEP: np.zeros(n, np.int64),
                c.TERMINATED: np.zeros(n, np.bool_),
                c.TRUNCATED: np.zeros(n, np.bool_),
                c.FINAL_OBS: obs,
                c.SOURCE: np.full(n, Source.import_, np.uint8),
                c.RETURN_SO_FAR: unknown,
                c.EPISODE_RETURN: unknown,
                c.DEMONSTRATOR: Ragged.from_text(names[code] for code in arrays["policy"][mine].tolist()),
            },
        )
