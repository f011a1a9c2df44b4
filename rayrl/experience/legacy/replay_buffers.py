"""Pickled replay buffers (``obs``, ``acts``, ``rews``, ``dones``, ``trajectories``) as trajectories."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import Source, Split
from rayrl.experience.legacy.episodes import Episodes, cut_episodes
from rayrl.experience.legacy.reading import Legacy
from rayrl.experience.legacy.report import ImportReport
from rayrl.experience.ragged import offsets_of
from rayrl.storage.spaces import Spaces

Ends = Literal["auto", "terminated", "truncated"]

_BATCH_ROWS = 16_384


def spaces_of_buffer(legacy: Legacy) -> Spaces:
    """Unbounded boxes of the shapes of its columns: bounds are not in the file."""
    arrays = legacy.arrays

    def box(name: str, saved: str) -> gym.Space:
        shape = legacy.values.get(saved)
        found = arrays[name].shape[1:]
        known = isinstance(shape, list) and all(isinstance(n, int) for n in shape)
        sizes = tuple(shape) if known and shape is not None else found
        fits = math.prod(sizes) == math.prod(found)
        return gym.spaces.Box(-np.inf, np.inf, sizes if fits else found, np.float32)

    return Spaces(box("obs", "env_obs_shape"), box("acts", "env_act_shape"))


def buffer_batches(
    legacy: Legacy, spaces: Spaces, id_high: int, *, num_envs: int, ends: Ends, report: ImportReport
) -> Iterator[TrajectoryBatch]:
    """The episodes of a pickled replay buffer, in batches of 16,384 steps or so.

    Args:
        legacy: the file's contents.
        spaces: whose shapes and element types the columns get.
        id_high: first half of the ids of its episodes.
        num_envs: environments that took turns in a rollout.
        ends: how flagged episodes ended; ``auto``: truncated where all whole ones, two at least, have the
            same length, else terminated.
        report: told of what is read, dropped and decided.

    Raises:
        DataError: the columns do not fit the spaces, a rollout is no multiple of the environments, or no
            step is left.
    """
    arrays, values = legacy.arrays, legacy.values
    capacity = len(arrays["obs"])
    dones = np.asarray(arrays["dones"]).reshape(capacity, -1)[:, 0].astype(np.bool_)
    rewards = np.asarray(arrays["rews"], np.float32).reshape(capacity, -1)[:, 0]
    starts, lengths, val = (np.asarray(arrays[name]) for name in ("start_pos", "length", "val"))
    report.read |= {"layout": legacy.layout, "rows": values["size"], "rollouts": len(starts)} | {
        name: values[name] for name in ("capacity", "fragment_length", "global_step") if name in values
    }
    if num_envs == 1:
        report.note("rollouts are taken for those of one environment; --num-envs says otherwise")
    found = cut_episodes(starts, lengths, val, dones, rewards, values["size"], num_envs, report)
    if not len(found.lengths):
        raise DataError("holds no step whose next observation is known", where=str(legacy.path))
    truncated = _truncated(found, ends, report)
    report.drop("on-policiness scores: sums over rollouts, not episodes", values["scored"])
    report.note(
        "observations and rewards are as the original's wrappers left them, normalized and clipped: what "
        "they were normalized with is not in the file"
    )
    report.read |= {"trajectories": len(found.lengths), "steps": len(found.rows)}
    columns = {
        c.OBS: (arrays["obs"], spaces.observation),
        c.ACTIONS: (arrays["acts"], spaces.action),
    }
    offsets = offsets_of(found.lengths)
    cuts = np.searchsorted(offsets // _BATCH_ROWS, np.arange(1, offsets[-1] // _BATCH_ROWS + 1))
    edges = np.unique([0, *cuts.tolist(), len(found.lengths)])
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = found.rows[offsets[first] : offsets[last]]
        mine = slice(first, last)
        ended = found.ended[mine]
        returns = np.add.reduceat(rewards[rows].astype(np.float64), offsets[first:last] - offsets[first])
        count = last - first
        steps: dict[str, Any] = {
            name: _fitted(array, rows, space, name) for name, (array, space) in columns.items()
        }
        yield TrajectoryBatch(
            steps | {c.REWARDS: rewards[rows]},
            offsets[first : last + 1] - offsets[first],
            {
                c.EPISODE_ID: np.stack(
                    [np.full(count, id_high, np.uint64), np.arange(first, last, dtype=np.uint64)], 1
                ),
                c.FIRST_STEP: np.zeros(count, np.int64),
                c.TERMINATED: ended & (not truncated),
                c.TRUNCATED: ended & truncated,
                c.FINAL_OBS: _fitted(arrays["obs"], found.final[mine], spaces.observation, c.FINAL_OBS),
                c.SOURCE: np.full(count, Source.import_, np.uint8),
                c.SPLIT: np.where(found.val[mine], Split.val, Split.train).astype(np.uint8),
                c.RETURN_SO_FAR: returns,
                c.EPISODE_RETURN: np.where(found.whole[mine], returns, np.nan),
            },
        )


def _truncated(found: Episodes, ends: Ends, report: ImportReport) -> bool:
    """Whether episodes that ended did so at a limit."""
    if ends != "auto" or not found.ended.any():
        return ends == "truncated"
    lengths = found.lengths[found.whole]
    same = len(lengths) > 1 and (lengths == lengths[0]).all()
    if same:
        report.note(
            f"all {len(lengths)} whole episodes have {lengths[0]} steps: taken for a time limit, so they are "
            "truncated; --ends terminated says otherwise"
        )
    else:
        report.note(
            "the file does not say how episodes ended: they are taken for terminated, as the original's "
            "learner took them; --ends truncated says otherwise"
        )
    return same


def _fitted(array: NDArray[Any], rows: NDArray[np.int64], space: gym.Space, name: str) -> NDArray[Any]:
    """Rows in the shape and element type of a space."""
    return fitted(np.asarray(array[rows]), space, name)


def fitted(values: NDArray[Any], space: gym.Space, name: str) -> NDArray[Any]:
    """Values in the shape and element type of a space.

    Raises:
        DataError: they are of another size, or would lose by it.
    """
    shape, dtype = tuple(space.shape or ()), np.dtype(space.dtype)
    if math.prod(values.shape[1:]) != math.prod(shape):
        raise DataError(
            f"has {values.shape[1:]} for each step, where the environment has {shape}", where=name
        )
    made = values.reshape(len(values), *shape).astype(dtype)
    if not np.can_cast(values.dtype, dtype, "same_kind") or (
        dtype.kind in "iu" and not np.array_equal(made, values.reshape(made.shape))
    ):
        raise DataError(f"is {values.dtype}, where the environment has {dtype}", where=name)
    if isinstance(space, gym.spaces.Discrete) and len(made):
        least, most = int(space.start), int(space.start + space.n - 1)
        if made.min() < least or made.max() > most:
            raise DataError(
                f"goes from {made.min()} to {made.max()}, where the environment has {least} to {most}",
                where=name,
            )
    return made
