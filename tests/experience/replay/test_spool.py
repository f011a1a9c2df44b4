"""A spool brings back all that was acknowledged, whenever the process ended."""

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rayrl.errors import IntegrityError, StorageError
from rayrl.experience.replay import PartitionOptions, PriorityOptions, ReplayBuffer, ReplayOptions
from rayrl.experience.replay.spool import Spool
from rayrl.experience.replay.spool.recovery import spooled_buffer
from rayrl.storage.spaces import Spaces
from tests.experience.replay.building import (
    ENV,
    OPEN,
    SPACES,
    TERMINATED,
    Part,
    batch,
    came_from,
    check_index,
    held,
)
from tests.experience.replay.test_invariants import histories


def options(capacity: int | None = 1000, **given: Any) -> ReplayOptions:
    kind = {key: given.pop(key) for key in ("unit", "eviction") if key in given}
    partitions = {
        "online": PartitionOptions(capacity=capacity, **kind),
        "other": PartitionOptions(capacity=capacity, **kind),
    }
    return ReplayOptions(partitions=partitions, block_rows=16, fragment_length=3, **given)


def opened(path: Path, of: ReplayOptions) -> tuple[ReplayBuffer, Spool]:
    return spooled_buffer(SPACES, ENV, of, path)


def contents(of: ReplayBuffer) -> dict[str, Any]:
    """What is held, by row id, and what was counted."""
    counted = of.get_partition_statistics()
    for partition in counted.values():
        for key in ("blocks", "duplicates"):
            del partition[key]
    rows = {}
    for partition in of.storage.partitions:
        for block in partition.blocks:
            live = of.storage.index.live_rows(block)
            ids = of.storage.index.row_ids(live.block, live.offset).tolist()
            shown: Any = of.storage.columns.of(block, ["actions"])["actions"]
            rows |= dict(zip(ids, shown[live.row].tolist(), strict=True))
    marks = [dict(partition.producers.watermarks) for partition in of.storage.partitions]
    return {"held": held(of), "rows": rows, "counted": counted, "watermarks": marks}


@settings(max_examples=10, deadline=None)
@given(
    histories(),
    st.integers(1, 11),
    st.integers(1, 100),
    st.sampled_from(["fifo", "reservoir"]),
    st.booleans(),
)
@example(  # the block that is sealed last goes at once, and lowers the reservoir's threshold
    [*([(0, step, 1, OPEN)] for step in range(8)), [(0, 8, 13, OPEN)], [(0, 21, 1, OPEN)]],
    9,
    17,
    "reservoir",
    False,
)
def test_a_copy_of_the_spool_at_any_time_holds_what_the_buffer_held(
    tmp_path_factory: pytest.TempPathFactory,
    history: list[list[Part]],
    killed_after: int,
    capacity: int,
    eviction: str,
    by_trajectory: bool,
) -> None:
    path = tmp_path_factory.mktemp("spool")
    before, after = history[:killed_after], history[killed_after:]
    of = options(capacity, unit="trajectories" if by_trajectory else "steps", eviction=eviction)
    live, _ = opened(path / "live", of)
    for number, parts in enumerate(before):
        live.add(came_from(parts, number % 3, number), partition=["online", "other"][number % 2])
        if number % 3 == 0 or number == len(before) - 1:
            shutil.copytree(path / "live", path / str(number))  # as a process that is killed now leaves it
    for number in sorted({*range(0, len(before), 3), len(before) - 1}):
        again, _ = opened(path / str(number), of)
        check_index(again)
        if number == len(before) - 1:
            assert contents(again) == contents(live)
    back = opened(path / str(number), of)[0]
    for number, parts in enumerate(after, len(before)):
        for one in (live, back):
            one.add(came_from(parts, number % 3, number))
        check_index(back)
    # Where all of an open block had gone, what comes later has ids of a new one.
    shown = [{**contents(one), "rows": sorted(contents(one)["rows"].values())} for one in (back, live)]
    assert shown[0] == shown[1]


def test_each_life_takes_over_from_the_one_before(tmp_path: Path) -> None:
    for life in range(1, 5):
        of, spool = opened(tmp_path, options(40))
        assert spool.life == life
        assert len(of) == min(10 * (life - 1), 40)
        of.add(came_from([(life, 0, 10, TERMINATED)], 1, life))
    assert held(of) == [[1000 * e + s for s in range(10)] for e in range(1, 5)]
    assert len(list(tmp_path.glob("journal-*"))) == 1


def test_a_predecessor_that_is_still_alive_is_refused(tmp_path: Path) -> None:
    old, _ = opened(tmp_path, options())
    old.add(came_from([(0, 0, 10, OPEN)], 1, 0))
    new, _ = opened(tmp_path, options())
    with pytest.raises(StorageError, match="another process has taken the spool over"):
        old.add(came_from([(0, 10, 10, OPEN)], 1, 1))
    new.add(came_from([(0, 10, 10, OPEN)], 1, 1))
    assert held(opened(tmp_path, options())[0]) == [list(range(20))]


def test_an_add_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    of, _ = opened(tmp_path, options())
    of.add(came_from([(0, 0, 5, OPEN)], 1, 0))
    (ahead,) = tmp_path.glob("wal-*")
    whole = ahead.stat().st_size
    of.add(came_from([(0, 5, 5, OPEN)], 1, 1))
    with ahead.open("r+b") as file:
        file.truncate(ahead.stat().st_size - 40)
    assert ahead.stat().st_size > whole
    again, _ = opened(tmp_path, options())
    assert held(again) == [[0, 1, 2, 3, 4]]
    assert again.add(came_from([(0, 5, 5, OPEN)], 1, 1)).steps == 5


def test_what_a_full_disk_refused_is_not_there_and_the_rest_is(tmp_path: Path) -> None:
    of, _ = opened(tmp_path, options())
    of.add(came_from([(0, 0, 10, TERMINATED)], 1, 0))
    (tmp_path / "segments").rmdir()
    (tmp_path / "segments").touch()  # no segment can be written
    with pytest.raises(StorageError, match="could not write a segment of the replay buffer"):
        of.add(came_from([(1, 0, 10, TERMINATED)], 1, 1))
    (tmp_path / "segments").unlink()
    again, _ = opened(shutil.copytree(tmp_path, tmp_path.with_name("copy")), options())
    for one in (of, again):
        assert one.add(came_from([(1, 0, 10, TERMINATED)], 1, 1)).duplicates == 1
        assert held(one) == [list(range(10)), list(range(1000, 1010))]


def test_priorities_begin_again_at_the_highest(tmp_path: Path) -> None:
    of, _ = opened(tmp_path, options(priorities=PriorityOptions(alpha=1.0, epsilon=0.0)))
    of.add(batch([(0, 0, 20, TERMINATED)]))
    of.update_priorities(np.arange(20), np.full(20, 0.25))
    again, _ = opened(tmp_path, options(priorities=PriorityOptions(alpha=1.0, epsilon=0.0)))
    assert again.storage.priorities is not None
    assert again.storage.priorities.trees.roots.sum() == 20


def test_damage_and_other_buffers_are_named(tmp_path: Path) -> None:
    of, spool = opened(tmp_path, options())
    of.add(batch([(0, 0, 40, TERMINATED)]))
    other = Spaces(SPACES.observation, type(SPACES.action)(3))
    with pytest.raises(IntegrityError, match=r"the spool is that of another buffer: action: n 1000000"):
        spooled_buffer(other, ENV, options(), tmp_path)
    (segment,) = {spool.segments[0].name}
    (tmp_path / "segments" / segment).unlink()
    with pytest.raises(IntegrityError, match=f"{segment}: the segment cannot be read"):
        opened(tmp_path, options())
    (journal,) = tmp_path.glob("journal-*")
    value = json.loads(journal.read_text().splitlines()[0])
    value["snapshot"]["format_version"] = "9"
    journal.write_text(json.dumps(value) + "\n")
    with pytest.raises(IntegrityError, match="format version '9' is not known"):
        opened(tmp_path, options())


def test_segments_of_dropped_blocks_are_deleted_unless_retained(tmp_path: Path) -> None:
    of, spool = opened(tmp_path, options(40))
    of.add(batch([(0, 0, 40, OPEN)]))
    spool.retain({spool.segments[0].sha256})
    kept, gone = spool.segments[0].name, spool.segments[1].name
    of.add(batch([(0, 40, 80, OPEN)]))
    there = {path.name for path in (tmp_path / "segments").iterdir()}
    assert kept in there
    assert gone not in there
    opened(tmp_path, options(40))
    assert kept in {path.name for path in (tmp_path / "segments").iterdir()}


def test_what_was_sealed_stays_until_the_next_block_is(tmp_path: Path) -> None:
    of, spool = opened(tmp_path, options(1, unit="trajectories"))
    of.add(came_from([(0, 0, 18, OPEN)], 1, 0))
    (sealed,) = (tmp_path / "segments").iterdir()
    of.add(came_from([(1, 0, 1, OPEN)], 1, 1))
    assert spool.segments == {}
    again, _ = opened(
        shutil.copytree(tmp_path, tmp_path.with_name("unsealed")), options(1, unit="trajectories")
    )
    assert contents(again) == contents(of)
    assert sealed.exists()
    assert spool.sweep() == []
    of.add(came_from([(1, 1, 20, OPEN)], 1, 2))
    assert not sealed.exists()


def test_a_spool_that_is_let_go_of_holds_no_files_open(tmp_path: Path) -> None:
    def held_open() -> list[str]:
        links = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        return [link for link in links if link.startswith(str(tmp_path))]

    of, spool = opened(tmp_path / "spool", options())
    of.add(came_from([(0, 0, 20, OPEN)], 1, 0))
    assert len(held_open()) == 2
    spool.close()
    assert held_open() == []
    of, spool = opened(tmp_path / "spool", options())
    assert len(held_open()) == 1
    del of, spool
    gc.collect()
    assert held_open() == []
