"""A dataset and a saved buffer whose values say where they come from."""

from pathlib import Path

import numpy as np

from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.replay import PartitionOptions, PriorityOptions, ReplayBuffer, ReplayOptions
from tests.experience.replay.building import (
    ENV,
    OPEN,
    SPACES,
    TERMINATED,
    TRUNCATED,
    came_from,
    in_domains,
)


def dataset(path: Path) -> Path:
    """31 trajectories in 31 files: of ten rounds of 5, 7 and 40 steps, and 4 more steps of the last one."""
    with DatasetWriter(path, spaces=SPACES, env=ENV, file_bytes=10) as writer:
        for i in range(10):
            parts = [(3 * i, 0, 5, TERMINATED), (3 * i + 1, 0, 7, TRUNCATED), (3 * i + 2, 0, 40, OPEN)]
            writer.append(in_domains(parts, ["maze", "router", "a"]))
            writer.flush()
        writer.append(in_domains([(29, 40, 4, TERMINATED)], ["a"]))
        writer.finish({"made": "here"})
    return path


def saved_buffer(path: Path, *, scored: bool = True) -> Path:
    """A buffer of blocks of 16 rows: 200 of 240 steps in one partition, 33 in another, none in a third."""
    options = ReplayOptions(
        partitions={
            "online": PartitionOptions(capacity=200),
            "demos": PartitionOptions(capacity=None, eviction="fixed"),
            "empty": PartitionOptions(),
        },
        block_rows=16,
        fragment_length=4,
        val_fraction=0.25,
        priorities=PriorityOptions(),
    )
    of = ReplayBuffer(SPACES, ENV, options)
    of.add(came_from([(e, 0, 12, TERMINATED) for e in range(20)], 3, 9))
    of.add(in_domains([(50, 0, 30, TERMINATED), (51, 0, 3, OPEN)], ["maze", "router"]), partition="demos")
    if scored:
        of.score(lambda one: np.asarray(one.columns["rewards"]) / 1000, policy_version=6)
    return of.save(path)
