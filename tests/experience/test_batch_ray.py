"""Batches in Ray's object store."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Ragged, offsets_of
from tests.local_ray import end_ray


@pytest.fixture(scope="module")
def own_ray() -> Iterator[None]:
    end_ray()
    # A socket's path is at most 107 bytes, and pytest's own folders are longer than Ray leaves room for.
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    before = os.environ.get("RAY_AUTH_MODE")
    os.environ["RAY_AUTH_MODE"] = "disabled"
    try:
        ray.init(
            address="local",
            num_cpus=1,
            include_dashboard=False,
            object_store_memory=100 << 20,
            log_to_driver=False,
            _temp_dir=str(folder),
        )
        yield
    finally:
        ray.shutdown()
        os.environ.pop("RAY_AUTH_MODE")
        if before is not None:
            os.environ["RAY_AUTH_MODE"] = before
        shutil.rmtree(folder, ignore_errors=True)


def arrays_of(batch: TrajectoryBatch) -> dict[str, np.ndarray]:
    image, prompt = batch.columns["obs/image"], batch.columns["obs/prompt"]
    final = batch.trajectory_columns["final_obs/image"]
    return {"image": image, "values": prompt.values, "offsets": prompt.offsets, "final": final}


@pytest.mark.usefixtures("own_ray")
def test_the_store_hands_out_views_not_copies() -> None:
    rows = 20_000
    lengths = np.full(rows // 100, 100)
    batch = TrajectoryBatch(
        {
            "obs/image": np.random.default_rng(0).integers(0, 255, (rows, 8, 8), np.uint8),
            "obs/prompt": Ragged.from_text([f"step {row}" for row in range(rows)]),
        },
        offsets_of(lengths),
        {"final_obs/image": np.zeros((len(lengths), 8, 8), np.uint8)},
    )
    reference = ray.put(batch)
    first, second = ray.get(reference), ray.get(reference)
    first.validate()
    assert first == batch
    for name, array in arrays_of(first).items():
        assert not array.flags.writeable, name
        # Two readers of one object see the same memory: the store's.
        assert array.ctypes.data == arrays_of(second)[name].ctypes.data, name
    part = ray.get(ray.put(first.slice(10, 20)))
    assert part == batch.slice(10, 20)
