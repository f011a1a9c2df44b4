"""Random batches whose columns hold arbitrary bits: every dtype, NaN payloads, ragged rows, text."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged, offsets_of
from rayrl.storage.spaces import DTYPES

SHAPES = [(), (1,), (3,), (2, 2), (4, 3, 1), (0,), (2, 0)]
NAMES = ["obs", "obs/camera", "obs/a/b", "actions", "rewards", "extra é"]


@st.composite
def arrays(draw: st.DrawFn, rows: int) -> NDArray[np.generic]:
    dtype = draw(st.sampled_from(sorted(DTYPES, key=str)))
    shape = (rows, *draw(st.sampled_from(SHAPES)))
    size = int(np.prod(shape)) * dtype.itemsize
    bits = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8)
    return (bits & 1 if dtype == np.bool_ else bits).view(dtype).reshape(shape)


@st.composite
def raggeds(draw: st.DrawFn, rows: int) -> Ragged:
    offsets = offsets_of(draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows)))
    return Ragged(draw(arrays(int(offsets[-1]))), offsets)


def texts(rows: int) -> st.SearchStrategy[Ragged]:
    text = st.text(st.characters(codec="utf-8"), max_size=5)
    return st.lists(text, min_size=rows, max_size=rows).map(Ragged.from_text)


def columns(rows: int) -> st.SearchStrategy[Column]:
    return st.one_of(arrays(rows), raggeds(rows), texts(rows))


@st.composite
def batches(draw: st.DrawFn, min_trajectories: int = 0) -> TrajectoryBatch:
    lengths = draw(st.lists(st.integers(1, 4), min_size=min_trajectories, max_size=5))
    steps = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    trajectory = draw(st.lists(st.sampled_from(["t", "final_obs", "é/x"]), max_size=3, unique=True))
    return TrajectoryBatch(
        {name: draw(columns(sum(lengths))) for name in steps},
        offsets_of(lengths),
        {name: draw(columns(len(lengths))) for name in trajectory},
    )
