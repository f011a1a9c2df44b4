"""The replay buffer in one process: rows per second, beside numpy alone and other libraries."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rayrl.experience.replay import ReplayBuffer
from tests.benchmarks import replay_shards
from tests.benchmarks.contest import Contest, Contestant, Fact, timed
from tests.benchmarks.memory import peak_during, resident
from tests.benchmarks.replay_data import WIDTHS, rayrl_buffer, steps, vector_step, whole_episodes
from tests.benchmarks.replay_peers import SB3, Cpprb, Numpy, Peer, PrioritizedNumpy, RLlib, TorchRL

DRAWN = 4096
STORED = {"17": 1_000_000, "128": 200_000, "pixels": 4_096}
EPISODE = {"17": 1_000, "128": 1_000, "pixels": 512}
REPEATS = {"17": 20, "128": 10, "pixels": 1}
"""Samples of one round; of RLlib's it is one."""
FRAGMENT = 32


def sample(width: str) -> Contest:
    """4,096 steps drawn uniformly; everybody gives each column in one piece."""
    space, stored, repeats = WIDTHS[width], STORED[width], REPEATS[width]
    of = steps(space, stored, EPISODE[width])
    sb3 = SB3(space, stored)
    sb3.fill(of)
    peers = {
        "rllib": _drawing(_filled(RLlib(space, stored), of), 1),
        "sb3": _drawing(sb3, repeats),
        "cpprb": _drawing(_filled(Cpprb(space, stored), of), repeats),
        "torchrl": _drawing(_filled(TorchRL(space, stored, DRAWN), of), repeats),
    }
    buffer = _buffer(width)
    return Contest(
        unit="rows/s",
        rayrl=_repeated(repeats, DRAWN, lambda: buffer.sample_transitions(DRAWN)),
        limit=_drawing(_filled(Numpy(space, stored), of), repeats),
        peers=peers,
        goals={"limit": 0.5} | ({"rllib": 100} if width == "17" else {}),
    )


def sample_prioritized(width: str) -> Contest:
    """4,096 steps drawn by priority, with importance weights.

    The limit looks positions up in sums that were computed once, and could not change a priority.
    """
    space, stored, repeats = WIDTHS[width], STORED[width], REPEATS[width]
    of = steps(space, stored, EPISODE[width])
    buffer = _buffer(width, prioritized=True)
    return Contest(
        unit="rows/s",
        rayrl=_repeated(repeats, DRAWN, lambda: buffer.sample_transitions(DRAWN, sampler="prioritized")),
        limit=_drawing(_filled(PrioritizedNumpy(space, stored), of), repeats),
        peers={
            "rllib": _drawing(_filled(RLlib(space, stored, prioritized=True), of), 1),
            "cpprb": _drawing(_filled(Cpprb(space, stored, prioritized=True), of), repeats),
        },
        goals={"cpprb": 0.5} | ({"rllib": 100} if width == "17" else {}),
    )


def update_priorities(width: str) -> Contest:
    """New priorities for the 4,096 steps drawn last."""
    space, stored = WIDTHS[width], STORED[width]
    of = steps(space, stored, EPISODE[width])
    buffer = _buffer(width, prioritized=True)
    rllib = _filled(RLlib(space, stored, prioritized=True), of)
    cpprb = _filled(Cpprb(space, stored, prioritized=True), of)
    rng = np.random.default_rng(0)
    priorities = rng.uniform(0.1, 1, DRAWN)
    row_ids = buffer.sample_transitions(DRAWN, sampler="prioritized").row_ids
    indexes = rng.integers(0, stored, DRAWN)

    def rllib_rate() -> float:
        rllib.sample(DRAWN)  # whose priorities they are
        return timed(DRAWN, lambda: rllib.update(priorities))()

    repeats = REPEATS[width]
    return Contest(
        unit="rows/s",
        rayrl=_repeated(repeats, DRAWN, lambda: buffer.update_priorities(row_ids, priorities)),
        peers={
            "rllib": rllib_rate,
            "cpprb": _repeated(repeats, DRAWN, lambda: cpprb.update(indexes, priorities)),
        },
        goals={"cpprb": 0.5},
    )


def fragments(width: str) -> Contest:
    """128 windows of 32 consecutive steps of one episode each, 4,096 steps in all.

    The limit takes windows from two arrays without asking where episodes end. RLlib's may be shorter where
    an episode ends, and are padded.
    """
    space, stored, repeats = WIDTHS[width], STORED[width], REPEATS[width]
    of = steps(space, stored, EPISODE[width])
    buffer = _buffer(width)
    many = DRAWN // FRAGMENT
    ring, rllib = _filled(Numpy(space, stored), of), _filled(RLlib(space, stored), of)
    torchrl = _filled(TorchRL(space, stored, DRAWN, slices=FRAGMENT), of)

    def take() -> None:
        first = ring.rng.integers(0, stored - FRAGMENT, many)
        rows = first[:, None] + np.arange(FRAGMENT)
        for array in (ring.arrays[0], *ring.arrays[2:]):
            np.take(array, rows, 0)

    return Contest(
        unit="rows/s",
        rayrl=_repeated(repeats, DRAWN, lambda: buffer.sample_fragments(many, FRAGMENT)),
        limit=_repeated(repeats, DRAWN, take),
        peers={
            "rllib": _repeated(1, DRAWN, lambda: rllib.sample_windows(many, FRAGMENT)),
            "torchrl": _drawing(torchrl, repeats),
        },
    )


def add(width: str) -> Contest:
    """Whole episodes, 4,096 steps at a time (512 of pixels), into a full buffer, which evicts as many."""
    space = WIDTHS[width]
    length = 64 if width == "pixels" else 512
    many = 8 * length
    capacity = max(STORED[width] // 4, many)
    of = steps(space, many, length)
    repeats = max(1, capacity // many // 2)
    buffer = rayrl_buffer(space, capacity)
    batch = whole_episodes(of)
    peers: dict[str, Any] = {
        "cpprb": Cpprb(space, capacity),
        "torchrl": TorchRL(space, capacity, DRAWN),
    }
    rllib = RLlib(space, capacity)

    def rllib_rate() -> float:
        episodes = rllib.episodes(of)  # they are kept: no second use
        return timed(many, lambda: rllib.add_episodes(episodes))()

    return Contest(
        unit="rows/s",
        rayrl=_repeated(repeats, many, lambda: buffer.add(batch, idempotent=False)),
        limit=_adding(Numpy(space, capacity), of, repeats),
        peers={"rllib": rllib_rate} | {name: _adding(peer, of, repeats) for name, peer in peers.items()},
    )


def sample_while_adding(width: str) -> Contest:
    """4,096 steps drawn after each 4,096 that are added (512 of pixels); only those drawn are counted."""
    space = WIDTHS[width]
    length = 64 if width == "pixels" else 512
    many = 8 * length
    capacity = max(STORED[width] // 4, many)
    of, filling = steps(space, many, length), steps(space, capacity // many * many, length)
    repeats = max(1, REPEATS[width] // 2)
    buffer, batch = rayrl_buffer(space, capacity), whole_episodes(of)
    buffer.add(whole_episodes(filling), idempotent=False)

    def rayrl() -> None:
        buffer.add(batch, idempotent=False)
        buffer.sample_transitions(many)

    def both(peer: Peer) -> Contestant:
        peer.add(filling)

        def work() -> None:
            peer.add(of)
            peer.sample(many)

        return _repeated(repeats, many, work)

    return Contest(
        unit="rows/s",
        rayrl=_repeated(repeats, many, rayrl),
        limit=both(Numpy(space, capacity)),
        peers={"cpprb": both(Cpprb(space, capacity)), "torchrl": both(TorchRL(space, capacity, many))},
    )


def add_steps(num_envs: int) -> Contest:
    """One vector step at a time, 17 floats, into a full buffer; the episodes go on for 256 steps."""
    space, length = WIDTHS["17"], 256
    added = length * num_envs
    capacity = max(added, 65_536)
    parts = [steps(space, num_envs, 1, seed) for seed in range(length)]
    batches = [vector_step(part, i, ends=i == length - 1) for i, part in enumerate(parts)]
    buffer = rayrl_buffer(space, capacity)

    def add_all() -> None:
        for batch in batches:
            buffer.add(batch, idempotent=False)

    def adding(peer: Peer) -> Contestant:
        def work() -> None:
            for part in parts:
                peer.add(part)

        return timed(added, work)

    return Contest(
        unit="rows/s",
        rayrl=timed(added, add_all),
        limit=adding(Numpy(space, capacity)),
        peers={
            "sb3": adding(SB3(space, capacity, num_envs)),
            "cpprb": adding(Cpprb(space, capacity)),
            "torchrl": adding(TorchRL(space, capacity, DRAWN)),
        },
    )


def scale() -> Contest:
    """4,096 steps of 17 floats out of 10 million, beside 4,096 out of 100 thousand.

    The limit takes from arrays of 10 million rows; the next observation is a view of the first array there,
    since there is not memory for two.
    """
    few, many = rayrl_buffer(WIDTHS["17"], 100_000), rayrl_buffer(WIDTHS["17"], 10_000_000)
    of = steps(WIDTHS["17"], 100_000, 1_000)
    few.add(whole_episodes(of))
    few.sample_transitions(DRAWN)
    gc.collect()
    before = resident()
    for i in range(100):
        many.add(whole_episodes(of, 100 * i))
    taken = (resident() - before) / len(many) / of.payload
    arrays = [
        np.tile(array, (100, *(1,) * (array.ndim - 1)))
        for array in (of.obs, of.actions, of.rewards, of.dones)
    ]
    rng = np.random.default_rng(0)

    def take() -> None:
        rows = rng.integers(0, len(many) - 1, DRAWN)
        for array in (*arrays, arrays[0][1:]):
            np.take(array, rows, 0)

    return Contest(
        unit="rows/s",
        rayrl=_repeated(20, DRAWN, lambda: many.sample_transitions(DRAWN)),
        limit=_repeated(20, DRAWN, take),
        peers={"100k": _repeated(20, DRAWN, lambda: few.sample_transitions(DRAWN))},
        goals={"100k": 1 / 1.3},
        facts={"resident/payload": Fact(lambda: taken, at_most=1.2)},
    )


def save() -> Contest:
    """A million steps of 17 floats to a file, beside SB3's pickle, and the pickle once it is on the disk."""
    buffer, sb3 = _buffer("17"), _filled_sb3()
    saved, pickled = Path("rayrl"), Path("sb3.pkl")
    growth = peak_during(lambda: buffer.save(saved)) / 1e6
    return Contest(
        unit="steps/s",
        rayrl=timed(len(buffer), lambda: buffer.save(saved)),
        peers={
            "sb3": timed(len(buffer), lambda: sb3.save(pickled)),
            "sb3-synced": timed(len(buffer), lambda: sb3.save_synced(pickled)),
        },
        goals={"sb3": 2},
        facts={"MB of memory meanwhile": Fact(lambda: growth, at_most=96)},
    )


def load() -> Contest:
    """A million steps of 17 floats from a file, beside SB3's pickle."""
    saved, pickled = Path("rayrl"), Path("sb3.pkl")
    _buffer("17").save(saved)
    _filled_sb3().save(pickled)
    gc.collect()

    def beyond_what_is_loaded() -> float:
        before = resident()
        kept: list[ReplayBuffer] = []
        peak = peak_during(lambda: kept.append(ReplayBuffer.load(saved)))
        return (peak - (resident() - before)) / 1e6

    return Contest(
        unit="steps/s",
        rayrl=timed(STORED["17"], lambda: ReplayBuffer.load(saved)),
        peers={"sb3": timed(STORED["17"], lambda: SB3.load(pickled))},
        goals={"sb3": 2},
        facts={"MB of memory beyond it": Fact(beyond_what_is_loaded, at_most=96)},
    )


ROWS: dict[str, Callable[[], Contest]] = {
    **{f"replay/sample/{width}": partial(sample, width) for width in WIDTHS},
    **{f"replay/sample-prioritized/{width}": partial(sample_prioritized, width) for width in ("17", "128")},
    "replay/update-priorities/17": partial(update_priorities, "17"),
    "replay/fragments/17": partial(fragments, "17"),
    **{f"replay/add/{width}": partial(add, width) for width in WIDTHS},
    **{f"replay/sample-while-adding/{width}": partial(sample_while_adding, width) for width in WIDTHS},
    **{f"replay/add/step-of-{n}": partial(add_steps, n) for n in (1, 8, 64)},
    "replay/scale": scale,
    "replay/save": save,
    "replay/load": load,
    **replay_shards.ROWS,
}


def _buffer(width: str, *, prioritized: bool = False) -> ReplayBuffer:
    of = steps(WIDTHS[width], STORED[width], EPISODE[width])
    buffer = rayrl_buffer(of.space, len(of), prioritized=prioritized)
    buffer.add(whole_episodes(of))
    return buffer


def _filled(peer: Any, of: Any) -> Any:
    peer.add(of)
    return peer


def _filled_sb3() -> SB3:
    of = steps(WIDTHS["17"], STORED["17"], EPISODE["17"])
    sb3 = SB3(of.space, len(of))
    sb3.fill(of)
    return sb3


def _drawing(peer: Peer, repeats: int) -> Contestant:
    return _repeated(repeats, DRAWN, lambda: peer.sample(DRAWN))


def _adding(peer: Peer, of: Any, repeats: int) -> Contestant:
    return _repeated(repeats, len(of), lambda: peer.add(of))


def _repeated(times: int, count: int, work: Callable[[], object]) -> Contestant:
    def run() -> None:
        for _ in range(times):
            work()

    return timed(times * count, run)
