"""The offline experience that minibatches have a share of."""

from __future__ import annotations

from pathlib import Path

from rayrl.errors import ResourceError
from rayrl.experience.dataset import Dataset, open_dataset
from rayrl.experience.replay.saved import is_saved_buffer, read_buffer_manifest


def offline_datasets(path: Path) -> list[Dataset]:
    """A dataset itself, or the partitions of a saved buffer, which are datasets.

    Raises:
        IntegrityError: there is none, or its manifest or a file's size or footer is damaged.
    """
    if not is_saved_buffer(path):
        return [open_dataset(path)]
    partitions = read_buffer_manifest(path).partitions
    return [open_dataset(path / partition.name) for partition in partitions if partition.blocks]


def check_room(path: Path, available: int) -> None:
    """Makes sure that the memory of one process holds the offline experience, which has all of it there.

    Args:
        path: a dataset folder or a saved buffer.
        available: bytes.

    Raises:
        ResourceError: it is too large.
        IntegrityError: as ``offline_datasets``.
    """
    needed = sum(file.bytes for dataset in offline_datasets(path) for file in dataset.manifest.files)
    if needed > available:
        raise ResourceError(
            f"offline_dataset takes {needed / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} GB are free",
            where=str(path),
            remedy="set num_replay_shards to 1 or more, since shards keep on disk what does not fit into the "
            "object store; or give a part of it",
        )
