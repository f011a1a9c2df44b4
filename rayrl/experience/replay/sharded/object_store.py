"""Sealed blocks in Ray's object store."""

from __future__ import annotations

import ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError
from ray.experimental import get_object_locations

from rayrl.errors import StorageError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.replay.store import Marks, Segment

_SHARE = 0.5
"""Of the object store that hot blocks may take: what is read cold, and what is drawn, needs room too."""


class ObjectStore:
    """Puts each sealed block into the object store as one object, owned by this process.

    A block that someone reads cannot be spilled. Only hot blocks are read all the time; of the cold ones
    nothing but the reference is kept, so that Ray spills them where room is short.

    Args:
        hot_bytes: how much to keep hot.
    """

    name: str = "object_store"

    def __init__(self, hot_bytes: int | None) -> None:
        self.hot_bytes = hot_bytes
        self._references: dict[int, ray.ObjectRef] = {}
        self._bytes: dict[int, int] = {}

    def put(self, number: int, block: TrajectoryBatch, marks: Marks) -> TrajectoryBatch:
        """Copies a block into the object store; what was put under its number goes.

        Raises:
            StorageError: the object store and the disk beside it are full.
        """
        try:
            reference = ray.put(block)
        except (ObjectStoreFullError, OutOfDiskError) as error:
            raise StorageError(
                f"has no room for a block of {block.nbytes / 1e6:,.1f} MB",
                where="object store",
                remedy="free space where Ray spills objects, lower hot_bytes, or keep less in the buffer",
            ) from error
        kept: TrajectoryBatch = ray.get(reference)
        self._references[number], self._bytes[number] = reference, block.nbytes
        return kept

    def get(self, number: int) -> TrajectoryBatch:
        """The block, from the disk where it was spilled."""
        block: TrajectoryBatch = ray.get(self._references[number])
        return block

    def drop(self, number: int) -> None:
        """Lets go of a block."""
        del self._references[number], self._bytes[number]

    def segment_of(self, number: int) -> Segment | None:
        """None: blocks are in no file of rayrl's."""
        return None

    def spilled_bytes(self) -> int:
        """Bytes of the blocks that Ray has spilled to disk."""
        references = {reference: number for number, reference in self._references.items()}
        if not references:
            return 0
        found = get_object_locations(list(references))
        return sum(
            self._bytes[number]
            for reference, number in references.items()
            if found.get(reference, {}).get("did_spill")
        )


def share_of_object_store(shards: int) -> int:
    """What each of some shards on this node may keep hot of its object store, in bytes."""
    here = ray.get_runtime_context().get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == here)
    return int(_SHARE * node["Resources"]["object_store_memory"] / shards)
