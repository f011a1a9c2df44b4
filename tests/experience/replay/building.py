"""Batches whose values say where they come from: step s of episode e shows 1000 e + s everywhere."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import SOURCE, Source
from rayrl.experience.dataset import EnvInfo
from rayrl.experience.ragged import Ragged, offsets_of
from rayrl.experience.replay import PartitionOptions, ReplayBuffer, ReplayOptions
from rayrl.experience.replay.tables import NONE
from rayrl.storage.spaces import Spaces

SPACES = Spaces(Box(-np.inf, np.inf, (2,), np.float32), Discrete(1_000_000))
ENV = EnvInfo(id="rayrl/Counting-v0")

OPEN, TERMINATED, TRUNCATED = "open", "terminated", "truncated"

Part = tuple[int, int, int, str]
"""Episode, first step, number of steps, and how it ends."""


def batch(parts: Sequence[Part], **trajectory_columns: Any) -> TrajectoryBatch:
    """Trajectories; rewards are equal to the observation, and extra step column ``note`` is its negative."""
    episode = np.array([part[0] for part in parts], np.int64)
    first = np.array([part[1] for part in parts], np.int64)
    lengths = np.array([part[2] for part in parts], np.int64)
    step = np.concatenate([np.arange(f, f + n) for f, n in zip(first, lengths, strict=True)])
    shown = np.repeat(1000 * episode, lengths) + step
    final = 1000 * episode + first + lengths
    return TrajectoryBatch(
        {
            "obs": np.stack([shown, shown], 1).astype(np.float32),
            "actions": shown,
            "rewards": shown.astype(np.float32),
            "note": -shown,
        },
        offsets_of(lengths),
        {
            "episode_id": np.stack([np.zeros_like(episode), episode], 1).astype(np.uint64),
            "first_step": first,
            "terminated": np.array([part[3] == TERMINATED for part in parts]),
            "truncated": np.array([part[3] == TRUNCATED for part in parts]),
            "final_obs": np.stack([final, final], 1).astype(np.float32),
            **trajectory_columns,
        },
    )


def came_from(parts: Sequence[Part], producer: int, sequence: int, epoch: int = 0) -> TrajectoryBatch:
    """A batch as a worker delivers it."""
    n = len(parts)
    return batch(
        parts,
        producer=np.full(n, producer, np.int32),
        epoch=np.full(n, epoch, np.int32),
        sequence=np.full(n, sequence, np.int64),
    )


def in_domains(parts: Sequence[Part], domains: Sequence[str]) -> TrajectoryBatch:
    """A batch with a domain for each trajectory."""
    sources = np.full(len(parts), Source.rollout, np.uint8)
    return batch(parts, domain=Ragged.from_text(domains), **{SOURCE: sources})


def buffer(
    capacity: int | None = 1000, *, unit: Any = "steps", eviction: Any = "fifo", **options: Any
) -> ReplayBuffer:
    """A buffer of one partition, with small blocks."""
    partition = PartitionOptions(capacity=capacity, unit=unit, eviction=eviction)
    options = {"block_rows": 16, "fragment_length": 3, **options}
    return ReplayBuffer(SPACES, ENV, ReplayOptions(partitions={"online": partition}, **options))


def held(of: ReplayBuffer) -> list[list[int]]:
    """What each trajectory shows, oldest first."""
    if not len(of):
        return []
    found = of.get_all_trajectories().batch
    shown: Any = found.columns["actions"]
    return [shown[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def check_index(of: ReplayBuffer) -> None:
    """Recounts all that the index keeps, and checks that its tables agree."""
    storage, index = of.storage, of.storage.index
    trajectories, pieces = index.trajectories.rows, index.pieces.rows
    steps = np.zeros(len(storage.groups.members), np.int64)
    reached = set()
    for entry in np.flatnonzero(trajectories["id"] >= 0):
        record, length, piece = trajectories[entry], 0, trajectories[entry]["first_piece"]
        while piece != NONE:
            one = pieces[piece]
            assert one["trajectory"] == entry
            assert one["start"] < one["stop"]
            assert (index.piece_of[one["block"], one["start"] : one["stop"]] == piece).all()
            reached.add(int(piece))
            length += one["stop"] - one["start"]
            last, piece = piece, one["next"]
        assert (length, last) == (record["length"], record["last_piece"])
        steps[record["group"]] += length
    assert reached == set(np.flatnonzero(pieces["block"] >= 0).tolist())
    assert steps.tolist() == storage.groups.steps[: len(steps)].tolist()
    ids: list[int] = []
    for partition in storage.partitions:
        rows = [index.live_rows(block) for block in partition.blocks]
        for block, live in zip(partition.blocks, rows, strict=True):
            assert len(live.row) == index.blocks.rows["live"][block]
            assert (index.piece_of[block] >= 0).sum() == len(live.row)
            ids += index.row_ids(live.block, live.offset).tolist()
            if storage.priorities is not None:
                weights = storage.priorities.trees.leaves[block].copy()
                np.testing.assert_allclose(storage.priorities.trees.roots[block], weights.sum(), rtol=1e-5)
                weights[live.offset] = 0
                assert not weights.any()
        assert sum(len(live.row) for live in rows) == partition.counters.steps
    assert len(set(ids)) == len(ids) == len(of)
    assert set(np.flatnonzero(index.blocks.rows["number"] >= 0)) == {
        block for partition in storage.partitions for block in partition.blocks
    }
