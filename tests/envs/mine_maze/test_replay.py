import json
from pathlib import Path
from typing import Any

import pytest

from rayrl.envs.mine_maze.generator import VERSION, generate_level
from rayrl.envs.mine_maze.replay import Replay, outcome_of, read_replays, replays_to_json
from rayrl.errors import DataError
from tests.envs.mine_maze.mazes import DOWN, RIGHT, STAY, UP, level

BY_HAND: dict[str, Any] = {
    "format": "rayrl-replays",
    "version": 1,
    "env": "rayrl/MineMaze-v0",
    "replays": [
        {
            "id": "there",
            "level": {"category": "simple", "content": ["S*E", "..."]},
            "actions": "DRRU",
            "ended": "success",
        },
        {"id": "half", "level": {"category": "simple", "content": ["S*E", "..."]}, "actions": "D.R"},
    ],
}


def written(folder: Path, **changes: Any) -> Path:
    """The file by hand, its first replay changed."""
    values = json.loads(json.dumps(BY_HAND))
    values["replays"][0] |= changes
    path = folder / "replays.json"
    path.write_text(json.dumps(values))
    return path


def test_a_file_by_hand_is_read_and_written_again(tmp_path: Path) -> None:
    there, half = read_replays(written(tmp_path))
    assert (there.actions, there.ended, there.max_steps) == ((DOWN, RIGHT, RIGHT, UP), "success", 12)
    assert (half.actions, half.ended, half.demonstrator) == ((DOWN, STAY, RIGHT), None, None)
    path = tmp_path / "again.json"
    path.write_text(json.dumps(replays_to_json([there, half])))
    assert [replay.to_record() for replay in read_replays(path)] == [there.to_record(), half.to_record()]


def test_a_level_is_what_the_generator_makes_from_its_seed(tmp_path: Path) -> None:
    made = generate_level("simple", 3)
    replay = Replay("x", made, (STAY,), 9, None)
    path = tmp_path / "replays.json"
    path.write_text(json.dumps(replays_to_json([replay])))
    values = json.loads(path.read_text())
    assert values["replays"][0]["level"]["generator"] == VERSION
    assert read_replays(path)[0].to_record() == replay.to_record()
    values["replays"][0]["level"]["seed"] = 4
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match="replay 'x', level: is not what the generator makes from seed 4"):
        read_replays(path)
    # Files from before there were versions are of the first one.
    del values["replays"][0]["level"]["generator"]
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match="from seed 4"):
        read_replays(path)
    values["replays"][0]["level"]["generator"] = 99
    path.write_text(json.dumps(values))
    (other,) = read_replays(path)
    assert other.to_record().level.generator == 99


def test_the_files_of_two_replays_of_one_id_are_named(tmp_path: Path) -> None:
    first = written(tmp_path)
    second = tmp_path / "second.json"
    second.write_text(first.read_text())
    with pytest.raises(DataError) as error:
        read_replays(tmp_path)
    assert str(error.value) == f"{second}, replay 'there': there are two of this id; the other is in {first}"


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "replays.json"
    path.write_text(written(tmp_path).read_text().replace('"id": "half"', '"id": "half", "actions": "U"'))
    with pytest.raises(DataError) as error:
        read_replays(path)
    assert str(error.value) == f"{path}: 'half' has the key 'actions' twice"


def test_outcomes_are_simulated() -> None:
    made = level("S*E", "...")
    assert outcome_of(made, [RIGHT, RIGHT], 12) == (1, "death_by_mine")
    assert outcome_of(made, [DOWN, DOWN], 12) == (2, None)
    assert outcome_of(made, [DOWN, RIGHT, RIGHT], 3) == (3, "timeout")
    assert outcome_of(made, [STAY] * 8, 8) == (8, "stuck")


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    written(tmp_path)
    other = json.loads((tmp_path / "replays.json").read_text())
    for replay in other["replays"]:
        replay["id"] += "_again"
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert [replay.id for replay in read_replays(tmp_path)] == ["there_again", "half_again", "there", "half"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": "DRR"}, "ended = 'success', and its actions come to None"),
        ({"actions": "DRRU", "max_steps": 3}, "ends in timeout after 3 of 4 actions"),
        ({"actions": "RDRU"}, "ends in death_by_mine after 1 of 4 actions"),
        ({"id": "half"}, "there are two of this id"),
        ({"level": {"category": "simple", "content": ["S*E", ".."]}}, "row 1 has 2 cells"),
        ({"level": {"category": "easy", "content": ["SE", ".."]}}, "there is no category 'easy'"),
        (
            {"level": {"category": "simple", "content": ["S#E", ".#."]}, "actions": "DU", "ended": None},
            "its level cannot be solved: no safe way leads from start to exit",
        ),
        (
            {"level": {"category": "simple", "content": ["S*E", "..."], "sha256": "0" * 64}},
            "level.sha256 is 000000000000…",
        ),
        ({"demonstrator": "a\ud800"}, r"demonstrator = 'a\ud800' is not valid Unicode"),
    ],
)
def test_a_replay_that_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(DataError) as error:
        read_replays(path)
    assert message in str(error.value)
    assert f"{path}, replay '{changes.get('id', 'there')}'" in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "rayrl-suite"}, "is no file of replays"),
        ({**BY_HAND, "version": 2}, "version = 2"),
        ({**BY_HAND, "replays": []}, "replays = []"),
        (
            {**BY_HAND, "replays": [{**BY_HAND["replays"][0], "actions": "UX"}]},
            "replay 'there': replays.0.actions = 'UX'",
        ),
    ],
)
def test_another_file_is_refused(tmp_path: Path, values: Any, message: str) -> None:
    path = tmp_path / "replays.json"
    path.write_text(json.dumps(values))
    with pytest.raises(DataError) as error:
        read_replays(path)
    assert message in str(error.value)
    with pytest.raises(DataError, match=r"there is no \.json file below it"):
        read_replays(_empty(tmp_path))


def _empty(folder: Path) -> Path:
    empty = folder / "empty"
    empty.mkdir()
    return empty


def test_a_record_says_all_of_a_replay() -> None:
    made = level("S*E", "...")
    record = Replay("x", made, (DOWN, STAY), 9, None, "me").to_record()
    assert (record.actions, record.max_steps, record.demonstrator) == ("D.", 9, "me")
    assert record.level.sha256 == made.sha256


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"max_steps = 1000000000000000000000000000000: .* equal to 1000000000"
    ):
        read_replays(written(tmp_path, max_steps=10**30))
    level = {"category": "simple", "content": ["S*E", "..."], "seed": 2**64}
    with pytest.raises(DataError, match=r"level\.seed = 18446744073709551616: .* less than"):
        read_replays(written(tmp_path, level=level))
