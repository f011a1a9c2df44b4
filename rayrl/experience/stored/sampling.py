"""Draws from stored experience with every sampler, and holds each value against the files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.config.seeding import Role, generator
from rayrl.errors import DataError
from rayrl.experience import columns as c
from rayrl.experience.columns import Split
from rayrl.experience.dataset import open_dataset
from rayrl.experience.ragged import Ragged
from rayrl.experience.replay import PartitionOptions, ReplayBuffer, ReplayOptions, Where
from rayrl.experience.replay.reading import (
    common_specs,
    read_fragments,
    read_trajectories,
    read_transitions,
)
from rayrl.experience.replay.requests import Fragments, Picked, Request, Target, Trajectories, Transitions
from rayrl.experience.replay.samplers import make_sampler, sampler_names
from rayrl.experience.replay.samples import (
    DISCOUNTS,
    N_STEPS,
    NEXT_OBS,
    FragmentSample,
    TrajectorySample,
    TransitionSample,
)
from rayrl.experience.replay.view import View
from rayrl.experience.stored.opening import Progress, Stored
from rayrl.experience.stored.reference import Reference, same_values

_DRAWS = 256
_TRAJECTORY_DRAWS = 8
_GAMMA = 0.99
_ROUNDING = 1e-6
"""Of returns in float32, as a share of the sum of their terms' sizes."""
_SPLITS = (None, "train", "val")


@dataclass(frozen=True, slots=True)
class SampleCheck:
    """What came of drawing in one way.

    Args:
        sampler: by name.
        split: ``train``, ``val`` or ``all``.
        target: what was drawn, in words.
        drawn: how many.
        skipped: why nothing could be drawn; empty where something was.
        faults: what was wrong with what was drawn.
    """

    sampler: str
    split: str
    target: str
    drawn: int
    skipped: str
    faults: tuple[str, ...]


def check_samples(stored: Stored, progress: Progress | None = None) -> Iterator[SampleCheck]:
    """Draws steps with returns of one and of three steps, fragments and trajectories, with every sampler and
    from every split.

    Each column of each drawn step must be the stored one, bit for bit; fragments and returns must not go past
    their trajectory; the next observation must be that of the step after, or the trajectory's final one. A
    dataset is first loaded into a buffer of one unbounded partition.

    Args:
        stored: what was opened.
        progress: told of steps while the files are read.

    Raises:
        DataError: the buffer cannot be loaded.
    """
    buffer = _load(stored)
    reference = Reference(stored, progress)
    length = min(buffer.options.fragment_length, max(reference.longest, 1))
    targets: list[Target] = [
        Transitions(1, _GAMMA),
        Transitions(3, _GAMMA),
        Fragments(length),
        Trajectories(),
    ]
    number = 0
    for name in sampler_names():
        for split in _SPLITS:
            for target in targets:
                yield _check(buffer, reference, name, split, target, number)
                number += 1


def _load(stored: Stored) -> ReplayBuffer:
    if stored.buffer is not None:
        return ReplayBuffer.load(stored.path)
    dataset = open_dataset(stored.path)
    options = ReplayOptions(partitions={"dataset": PartitionOptions(capacity=None)})
    buffer = ReplayBuffer(dataset.spaces, dataset.env, options)
    buffer.add_dataset(dataset)
    return buffer


def _check(
    buffer: ReplayBuffer, reference: Reference, name: str, split: str | None, target: Target, number: int
) -> SampleCheck:
    where = Where(split=split)
    described = str(target)
    if isinstance(target, Transitions) and target.n_step > 1:
        described = f"{target} with returns of {target.n_step}"
    request = Request(target, make_sampler(name), where)
    view = View(buffer.storage, target, where)
    n = _TRAJECTORY_DRAWS if isinstance(target, Trajectories) else _DRAWS
    said = ""
    try:
        census = request.sampler.census(view)
        if view.count == 0:
            said = "there are none"
        elif not request.sampler.mass(view, census) > 0:
            said = f"the sampler lets none of {view.count} pass"
    except DataError as error:
        said = error.message
    if said:
        return SampleCheck(name, split or "all", described, 0, said, ())
    picked = request.sampler.draw(view, n, census, generator(0, Role.replay, 0, number))
    specs = common_specs(buffer.storage, request)
    steps, faults = _steps_of(buffer, reference, picked)
    if not faults:
        faults = _check_split(reference, steps, split)
    if not faults and isinstance(target, Fragments):
        faults = _check_room(reference, steps, target)
    if not faults:
        if isinstance(target, Fragments):
            faults = _check_fragments(
                reference, steps, read_fragments(buffer.storage, picked, target, specs, "cpu")
            )
        elif isinstance(target, Trajectories):
            faults = _check_trajectories(
                reference, steps, read_trajectories(buffer.storage, picked, specs, "cpu")
            )
        else:
            drawn = read_transitions(buffer.storage, picked, target, specs, "cpu")
            faults = _check_transitions(reference, steps, drawn, target)
    return SampleCheck(name, split or "all", described, len(picked), "", tuple(faults))


def _steps_of(
    buffer: ReplayBuffer, reference: Reference, picked: Picked
) -> tuple[NDArray[np.int64], list[str]]:
    """The stored steps that were drawn, by their row ids."""
    index = buffer.storage.index
    row_ids = index.row_ids(picked.block, index.offsets(picked.block, picked.row))
    steps = reference.find(row_ids)
    lost = int((steps < 0).sum())
    return steps, [f"{lost} of {len(steps)} row ids are not stored"] if lost else []


def _check_split(reference: Reference, steps: NDArray[np.int64], split: str | None) -> list[str]:
    if split is None or not reference.has(c.SPLIT):
        return []
    sides: Any = reference.read_part(c.SPLIT, reference.begin[steps])
    # A trajectory without a side is for training, where no share for validation is asked for.
    sides = np.where(sides == Split.unset, Split.train, sides)
    wrong = int((sides != Split[split]).sum())
    return [f"{wrong} of {len(steps)} are of another split"] if wrong else []


def _check_transitions(
    reference: Reference, steps: NDArray[np.int64], drawn: TransitionSample, target: Transitions
) -> list[str]:
    walked = reference.walk(steps, target.n_step)
    m = (walked >= 0).sum(1)
    last = walked[np.arange(len(steps)), m - 1]
    derived = {c.REWARDS, DISCOUNTS, N_STEPS, c.TERMINATED, c.TRUNCATED}
    plain = [name for name in drawn.columns if name not in derived and not _is_next(name)]
    faults = [name for name in plain if not same_values(drawn.columns[name], reference.read(name, steps))]
    faults += [
        name for name in drawn.columns if _is_next(name) and not _next_fits(reference, last, drawn, name)
    ]
    rewards: Any = reference.read(c.REWARDS, np.maximum(walked, 0).reshape(-1))
    # R = Σ_{k<m} γ^k r_k, with m the steps of the return
    terms = np.where(walked >= 0, rewards.reshape(walked.shape), 0) * target.gamma ** np.arange(target.n_step)
    rounding = _ROUNDING * np.abs(terms).sum(1) if target.n_step > 1 else 0
    columns: Any = drawn.columns
    if not np.array_equal(columns[N_STEPS], m):
        faults.append(N_STEPS)
    if not np.allclose(columns[DISCOUNTS], target.gamma**m, rtol=1e-5):
        faults.append(DISCOUNTS)
    if not (np.isnan(terms.sum(1)) | (np.abs(columns[c.REWARDS] - terms.sum(1)) <= rounding)).all():
        faults.append(c.REWARDS)
    faults += _flag_faults(reference, last, {name: columns[name] for name in (c.TERMINATED, c.TRUNCATED)})
    return [f"column {name} is not as stored" for name in faults]


def _check_room(reference: Reference, steps: NDArray[np.int64], target: Fragments) -> list[str]:
    """Before fragments are read: past the end of a trajectory there is nothing to read."""
    crossing = int((reference.walk(steps, target.length) < 0).any(1).sum())
    return [f"{crossing} of {len(steps)} fragments go past the end of their trajectory"] if crossing else []


def _check_fragments(reference: Reference, steps: NDArray[np.int64], drawn: FragmentSample) -> list[str]:
    walked = reference.walk(steps, drawn.length)
    columns: Any = drawn.columns
    faults = []
    for name in drawn.columns.keys() - {c.TERMINATED, c.TRUNCATED}:
        column = columns[name]
        flat = column if isinstance(column, Ragged) else column.reshape(-1, *column.shape[2:])
        if not same_values(flat, reference.read(name, walked.reshape(-1))):
            faults.append(name)
    flags = {name: columns[name] for name in (c.TERMINATED, c.TRUNCATED)}
    if any(flag[:, :-1].any() for flag in flags.values()):
        return ["an episode ends within a fragment"]
    faults += _flag_faults(reference, walked[:, -1], {name: flag[:, -1] for name, flag in flags.items()})
    return [f"column {name} is not as stored" for name in sorted(faults)]


def _check_trajectories(reference: Reference, steps: NDArray[np.int64], drawn: TrajectorySample) -> list[str]:
    begun = reference.begin[steps]
    lengths = drawn.batch.lengths
    walked = reference.walk(begun, int(lengths.max()) + 1)
    if not np.array_equal((walked >= 0).sum(1), np.minimum(lengths, walked.shape[1])):
        return ["trajectories have other lengths than stored"]
    rows = walked[walked >= 0]
    faults = [
        name
        for name, column in drawn.batch.columns.items()
        if not same_values(column, reference.read(name, rows))
    ]
    last = reference.end[begun]
    trajectories: Any = drawn.batch.trajectory_columns
    for name in trajectories:
        if name.split("/")[0] == c.FINAL_OBS and not same_values(
            trajectories[name], reference.read_part(name, last)
        ):
            faults.append(name)
    faults += _flag_faults(
        reference, last, {name: trajectories[name] for name in (c.TERMINATED, c.TRUNCATED)}
    )
    return [f"column {name} is not as stored" for name in faults]


def _next_fits(reference: Reference, last: NDArray[np.int64], drawn: TransitionSample, name: str) -> bool:
    """Whether a part of the next observation is that of the step after, or the trajectory's final one."""
    obs, final = (name.replace(NEXT_OBS, prefix, 1) for prefix in (c.OBS, c.FINAL_OBS))
    after = reference.next[last]
    inner, outer = np.flatnonzero(after >= 0), np.flatnonzero(after < 0)
    column: Any = drawn.columns[name]

    def rows(of: NDArray[np.int64]) -> Any:
        return column.take(of) if isinstance(column, Ragged) else column[of]

    return (not len(inner) or same_values(rows(inner), reference.read(obs, after[inner]))) and (
        not len(outer) or same_values(rows(outer), reference.read_part(final, last[outer]))
    )


def _flag_faults(reference: Reference, last: NDArray[np.int64], flags: dict[str, Any]) -> list[str]:
    """Names of flags that are not those of the trajectories which end here, or are set elsewhere."""
    at_end = reference.next[last] < 0
    faults = []
    for name, flag in flags.items():
        stored: Any = reference.read_part(name, last)
        if not np.array_equal(flag, at_end & stored):
            faults.append(name)
    return faults


def _is_next(name: str) -> bool:
    return name.split("/")[0] == NEXT_OBS
