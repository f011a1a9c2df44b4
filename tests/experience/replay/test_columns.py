"""Columns of all kinds pass through the buffer unharmed: images, flags, texts, ragged and empty ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from gymnasium.spaces import Box, Dict, MultiDiscrete, Text

from rayrl.errors import DataError
from rayrl.experience.arrow import from_arrow, to_arrow
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Ragged, offsets_of
from rayrl.experience.replay import PartitionOptions, ReplayBuffer, ReplayOptions
from rayrl.experience.replay.store import BlockStore, Marks
from rayrl.storage.spaces import Spaces
from tests.experience.replay.building import ENV

SPACES = Spaces(
    Dict(camera=Box(0, 255, (3, 5, 1), np.uint8), prompt=Text(8), gains=Box(-1, 1, (3,), np.float64)),
    MultiDiscrete([1000, 1000, 1000]),
)


def episode(number: int, first: int, steps: int, end: bool) -> TrajectoryBatch:
    shown = 1000 * number + np.arange(first, first + steps)
    final = np.array([1000 * number + first + steps])

    def parts(prefix: str, values: Any) -> dict[str, Any]:
        return {
            f"{prefix}/camera": np.broadcast_to(
                values[:, None, None, None] % 256, (len(values), 3, 5, 1)
            ).astype(np.uint8),
            f"{prefix}/prompt": Ragged.from_text([f"é{value}" for value in values]),
            f"{prefix}/gains": np.stack([values / 1e4] * 3, 1),
        }

    return TrajectoryBatch(
        {
            **parts("obs", shown),
            "actions": np.stack([shown] * 3, 1),
            "rewards": shown.astype(np.float32),
            "flag": shown % 3 == 0,
            "nothing": np.empty((steps, 0), np.float32),
            "history": Ragged.from_rows([np.full((s % 4, 2), s, np.int16) for s in shown]),
        },
        offsets_of([steps]),
        {
            "episode_id": np.array([[0, number]], np.uint64),
            "first_step": np.array([first]),
            "terminated": np.array([end]),
            "truncated": np.array([False]),
            **parts("final_obs", final),
            "graph": Ragged.from_rows([np.full((number, 2), number)]),
        },
    )


class MappedStore:
    """Keeps blocks in files that are mapped, as a spool would."""

    name = "mapped"

    def __init__(self, folder: Path, hot_bytes: int | None = None) -> None:
        self.folder = folder
        self.hot_bytes = hot_bytes

    def get(self, number: int) -> TrajectoryBatch:
        path = max(self.folder.glob(f"{number}-*.arrow"), key=lambda found: int(found.stem.split("-")[1]))
        return from_arrow(pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0))

    def put(self, number: int, block: TrajectoryBatch, marks: Marks) -> TrajectoryBatch:
        path = self.folder / f"{number}-{len(list(self.folder.iterdir()))}.arrow"
        table = to_arrow(block)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_batch(table)
        return from_arrow(pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0))

    def segment_of(self, number: int) -> None:
        return None

    def drop(self, number: int) -> None:
        paths = list(self.folder.glob(f"{number}-*.arrow"))
        assert paths
        for path in paths:
            path.unlink()


@pytest.fixture(params=["heap", None, 0, 4000])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlockStore | None:
    """The heap, and files: all hot, all cold, and some of both."""
    (tmp_path / "blocks").mkdir()
    return None if request.param == "heap" else MappedStore(tmp_path / "blocks", request.param)


def filled(store: BlockStore | None, eviction: Any = "fifo") -> ReplayBuffer:
    partitions = {"online": PartitionOptions(capacity=90, eviction=eviction)}
    of = ReplayBuffer(SPACES, ENV, ReplayOptions(partitions=partitions, block_rows=16), store=store)
    for first in range(0, 40, 5):
        for number in (1, 2, 3):
            of.add(episode(number, first, 5, first == 35))
    return of


@pytest.mark.parametrize("eviction", ["fifo", "reservoir"])
def test_every_column_shows_its_step(store: BlockStore | None, eviction: str, tmp_path: Path) -> None:
    made = filled(store, eviction)
    made.save(tmp_path / "saved")
    for of in (made, ReplayBuffer.load(tmp_path / "saved")):
        drawn: dict[str, Any] = dict(of.sample_transitions(300, n_step=2).columns)
        shown, after = drawn["actions"][:, 0], drawn["actions"][:, 0] + drawn["n_steps"]
        for prefix, values in (("obs", shown), ("next_obs", after)):
            assert (drawn[f"{prefix}/camera"] == (values % 256)[:, None, None, None]).all()
            assert drawn[f"{prefix}/prompt"].to_text() == [f"é{value}" for value in values]
            np.testing.assert_allclose(drawn[f"{prefix}/gains"][:, 2], values / 1e4)
        assert (drawn["flag"] == (shown % 3 == 0)).all()
        assert drawn["nothing"].shape == (300, 0)
        assert drawn["history"].lengths.tolist() == (shown % 4).tolist()
        assert (drawn["history"].values[:, 0] == np.repeat(shown, shown % 4)).all()

        fragments = of.sample_fragments(40, 6)
        texts: Any = fragments.columns["obs/prompt"]
        assert texts.to_text() == [f"é{value}" for value in fragments.actions[:, :, 0].reshape(-1).tolist()]
        assert (fragments.tensor("obs/camera")[:, :, 0, 0, 0] == fragments.actions[:, :, 0] % 256).all()
        with pytest.raises(
            DataError, match="obs/prompt: its rows have different lengths, and make no tensor"
        ):
            fragments.obs  # noqa: B018
        graphs: Any = of.get_all_trajectories().batch.trajectory_columns["graph"]
        assert {len(graph) for graph in graphs} <= {1, 2, 3}


def test_what_is_sealed_is_left_to_the_store(tmp_path: Path) -> None:
    (tmp_path / "blocks").mkdir()
    of = filled(MappedStore(tmp_path / "blocks"))
    partition = of.storage.partitions[0]
    sealed = list(partition.blocks)[: -1 if partition.open_block else None]
    numbers = {str(of.storage.index.blocks.rows["number"][block]) for block in sealed}
    assert {path.name.split("-")[0] for path in (tmp_path / "blocks").iterdir()} == numbers
