"""Checkpoints: what is restored draws as the saved buffer would have, and segments are written once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rayrl.errors import IntegrityError
from rayrl.experience.replay import PriorityOptions, ReplayBuffer
from rayrl.experience.replay.checkpoint_restoring import read_into_spool
from rayrl.experience.replay.checkpoints import save_reference, sweep
from tests.experience.replay.building import (
    OPEN,
    TERMINATED,
    Part,
    batch,
    buffer,
    came_from,
    check_index,
    held,
)
from tests.experience.replay.test_invariants import histories
from tests.experience.replay.test_saving import same_draws
from tests.experience.replay.test_spool import contents, opened, options


@settings(max_examples=10, deadline=None)
@given(
    histories(), st.integers(1, 11), st.integers(1, 80), st.sampled_from(["fifo", "reservoir"]), st.booleans()
)
@example(  # of the sealed block an episode is evicted, and then one with a lower key
    [
        [(0, 0, 1, TERMINATED), (3, 0, 1, OPEN)],
        [(3, 1, 1, OPEN), (1, 0, 1, OPEN)],
        [(3, 2, 41, OPEN)],
        [(3, 43, 4, OPEN)],
        [(1, 1, 1, OPEN)],
        [(4, 0, 1, OPEN)],
    ],
    5,
    48,
    "reservoir",
    False,
)
def test_a_restored_buffer_goes_on_as_the_saved_one(
    tmp_path_factory: pytest.TempPathFactory,
    history: list[list[Part]],
    saved_after: int,
    capacity: int,
    eviction: str,
    prioritized: bool,
) -> None:
    path = tmp_path_factory.mktemp("checkpoints")
    before, after = history[:saved_after], history[saved_after:]
    priorities = PriorityOptions() if prioritized else None
    of = buffer(capacity, eviction=eviction, priorities=priorities)
    for number, parts in enumerate(before):
        of.add(batch(parts))
        if prioritized and len(of):
            row_ids = of.sample_transitions(30).row_ids
            of.update_priorities(row_ids, np.abs(np.cos(row_ids + number)))
        if number == len(before) // 2:
            of.save_checkpoint(path / "first", "reference")
    of.score(lambda one: one.columns["rewards"] / 1000, policy_version=3)
    of.save_checkpoint(path / "last", "reference")
    back = buffer(capacity, eviction=eviction, priorities=priorities)
    back.restore_checkpoint(path / "last")
    check_index(back)
    assert back.get_trajectory_statistics() == of.get_trajectory_statistics()
    for parts in after:
        if len(of):  # a reservoir may have turned all away
            same_draws(of, back)
        for one in (of, back):
            one.add(batch(parts))
        assert contents(back) == contents(of)


def test_segments_are_written_once_and_swept_when_no_checkpoint_names_them(tmp_path: Path) -> None:
    of = buffer(40)
    of.add(batch([(0, 0, 40, OPEN)]))
    of.save_checkpoint(tmp_path / "a", "reference")
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "segments").iterdir()}
    assert len(first) == 2
    of.add(batch([(0, 40, 32, OPEN)]))
    of.save_checkpoint(tmp_path / "b", "reference")
    there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "segments").iterdir()}
    assert first.items() <= there.items()
    assert sweep(tmp_path / "segments", [tmp_path / "a", tmp_path / "b"]) == []
    swept = sweep(tmp_path / "segments", [tmp_path / "b"])
    assert 0 < len(swept) < len(there)
    back = buffer(40)
    back.restore_checkpoint(tmp_path / "b")
    assert held(back) == held(of) == [list(range(32, 72))]
    with pytest.raises(IntegrityError, match=r"names segment \w+.arrow, which is in none of"):
        back.restore_checkpoint(tmp_path / "a")
    assert held(back) == held(of)


def test_an_altered_segment_changes_nothing(tmp_path: Path) -> None:
    of = buffer()
    of.add(batch([(0, 0, 40, OPEN)]))
    of.save_checkpoint(tmp_path / "a", "reference")
    segment = min((tmp_path / "segments").iterdir())
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    other = buffer()
    other.add(batch([(7, 0, 3, TERMINATED)]))
    with pytest.raises(IntegrityError, match="the segment is altered"):
        other.restore_checkpoint(tmp_path / "a")
    assert held(other) == [[7000, 7001, 7002]]


def test_small_buffers_are_saved_whole_unless_told_otherwise(tmp_path: Path) -> None:
    of = buffer()
    of.add(batch([(0, 0, 40, OPEN)]))
    of.save_checkpoint(tmp_path / "a")
    assert not (tmp_path / "segments").exists()
    back = buffer()
    back.restore_checkpoint(tmp_path / "a")
    same_draws(of, back)


def spooled(path: Path, sequences: range) -> Any:
    of, spool = opened(path, options(100))
    for s in sequences:
        of.add(came_from([(0, 10 * s, 10, OPEN)], 1, s))
    return of, spool


@pytest.mark.parametrize("after", ["checkpoint", "latest"])
def test_what_a_spool_got_after_the_checkpoint(tmp_path: Path, after: Any) -> None:
    of, spool = spooled(tmp_path / "spool", range(5))
    save_reference(of, tmp_path / "a", spool.folder, spool.identity, spool.retain)
    saved = contents(of)
    for s in range(5, 14):
        of.add(came_from([(0, 10 * s, 10, OPEN)], 1, s))
    latest = contents(of)
    again, spool = opened(tmp_path / "spool", options(100))
    back, spool, later = read_into_spool(
        ReplayBuffer, again, spool, tmp_path / "a", spool.identity, "reference", after
    )
    assert later.steps == 90
    assert (later.aside is None) == (after == "latest")
    assert contents(back) == (saved if after == "checkpoint" else latest)
    aside = list((tmp_path / "spool" / "aside").glob("*/aside.json"))
    assert len(aside) == (after == "checkpoint")
    if after == "checkpoint":
        assert '"steps": 90' in aside[0].read_text()
        assert back.add(came_from([(0, 50, 10, OPEN)], 1, 5)).steps == 10
        reopened, _ = opened(tmp_path / "spool", options(100))
        assert contents(reopened) == contents(back)


def test_another_trial_gets_copies(tmp_path: Path) -> None:
    of, spool = spooled(tmp_path / "one", range(5))
    save_reference(of, tmp_path / "a", spool.folder, spool.identity, spool.retain)
    other, theirs = opened(tmp_path / "two", options(100))
    back, theirs, _ = read_into_spool(
        ReplayBuffer, other, theirs, tmp_path / "a", spool.identity, "reference", "latest"
    )
    for path in spool.folder.iterdir():
        path.unlink()
    assert contents(back)["held"] == [list(range(50))]
    assert contents(opened(tmp_path / "two", options(100))[0]) == contents(back)
