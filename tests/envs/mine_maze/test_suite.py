import json
from pathlib import Path
from typing import Any

import pytest

from rayrl.envs.mine_maze.suite import check_suite, generate_suite, read_suite, verify_suites
from rayrl.errors import ConfigError, DataError
from tests.envs.mine_maze.mazes import level, write_suite


@pytest.fixture
def file(tmp_path: Path) -> Path:
    suite = generate_suite("small", {"very_simple": 5, "medium": 3}, split="test", seed=2)
    path = tmp_path / "small.json"
    path.write_text(json.dumps(suite.to_json()))
    return path


def changed(file: Path, change: Any) -> Path:
    values = json.loads(file.read_text())
    change(values["categories"])
    file.write_text(json.dumps(values))
    return file


def test_a_suite_is_read_as_it_was_generated(file: Path) -> None:
    suite = read_suite(file)
    made = generate_suite("small", {"very_simple": 5, "medium": 3}, split="test", seed=2)
    assert suite.to_json() == made.to_json() == json.loads(file.read_text())
    assert [entry.id for entry in suite.levels][4:6] == ["very_simple_0004", "medium_0000"]
    assert {entry.level.split for entry in suite.levels} == {"test"}
    assert verify_suites([file]) == {str(file): ([], [])}


def test_seeds_and_splits_give_other_levels() -> None:
    hashes = [
        {entry.level.sha256 for entry in generate_suite("s", {"medium": 20}, split=split, seed=seed).levels}
        for split, seed in (("test", 0), ("test", 1), ("train", 0))
    ]
    assert [len(each) for each in hashes] == [20, 20, 20]
    assert not hashes[0] & hashes[1]
    assert not hashes[0] & hashes[2]


def test_an_unsolvable_level_is_refused(tmp_path: Path) -> None:
    file = write_suite(tmp_path / "levels.json", level("S*E", "#*#"))
    with pytest.raises(DataError, match="level 'level_0': cannot be solved: no safe way leads"):
        read_suite(file)


CHANGES = {
    "there are two levels 'medium_0000'": lambda c: c["medium"][1].update(id="medium_0000"),
    "level 'medium_0001': sha256 is 000000000000…, and that of the content": lambda c: c["medium"][1].update(
        sha256="0" * 64
    ),
    "level 'medium_0001': planner_steps is 1, and the planner needs": lambda c: c["medium"][1].update(
        planner_steps=1
    ),
    "level 'medium_0001': difficulty is 99, not": lambda c: c["medium"][1].update(difficulty=99),
    "there is no category 'middle'": lambda c: c.update(middle=c.pop("medium")),
    "level 'medium_0001': is not what the generator makes from seed 1": lambda c: c["medium"][1].update(
        seed=1
    ),
    "level 'again' is the same as medium_0001": lambda c: (
        c["very_simple"].append(c["medium"][1] | {"id": "again", "seed": None})
        or c["medium"].append(c["very_simple"].pop())
    ),
    "level 'medium_0001': row 0 has a cell '!'": lambda c: c["medium"][1]["content"].__setitem__(
        0, "!" + c["medium"][1]["content"][0][1:]
    ),
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_was_changed_is_named(file: Path, message: str) -> None:
    changed(file, CHANGES[message])
    with pytest.raises(DataError) as error:
        read_suite(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert [message in problem for problem in check_suite(file)[1]] == [True]


def test_all_problems_are_counted(file: Path) -> None:
    changed(file, lambda c: [entry.update(difficulty=99) for entry in c["medium"]])
    with pytest.raises(DataError, match=r"\(and 2 more\)"):
        read_suite(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no suite of levels"),
        ('{"format": "other"}', "is no suite of levels"),
        ('{"format": "rayrl-suite", "version": 2}', "version = 2"),
        (
            '{"format": "rayrl-suite", "version": 1, "generator": -1}',
            "generator = -1: Input should be greater",
        ),
        ('{"format": "rayrl-suite", "version": 1, "nam": "x"}', "nam: unknown key; did you mean 'name'?"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "levels.json"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_suite(path)
    assert message in str(error.value)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_suite(tmp_path / "missing.json")


def test_a_suite_without_levels_is_refused(file: Path) -> None:
    changed(file, dict.clear)
    with pytest.raises(DataError, match="has no levels"):
        read_suite(file)
    changed(file, lambda c: c.update(simple=[]))
    with pytest.raises(DataError, match="category simple has no levels"):
        read_suite(file)


def test_verification_compares_files_and_asks_the_generator(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(file.read_text())
    found = verify_suites([file, other])
    assert found[str(file)].problems == []
    problems = found[str(other)].problems
    assert problems[0] == f"level 'very_simple_0000' is the same as very_simple_0000 of {file}"
    assert len(problems) == 8


def test_a_level_of_another_split_is_refused(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"split": "train"}))
    with pytest.raises(DataError) as error:
        read_suite(file)
    assert "level 'very_simple_0000': is a test level, and the suite's split is train" in str(error.value)
    assert len(check_suite(file)[1]) == 8


def test_verification_says_what_it_could_not_check(file: Path) -> None:
    changed(file, lambda c: c["medium"][0].update(seed=None))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"generator": 99}))
    problems, unchecked = verify_suites([file])[str(file)]
    assert problems == []
    assert unchecked == [
        "where 1 level came from, having no seed",
        "the seeds of 7 levels, which version 99 of the generator made: this is version 1",
    ]


def test_no_level_stands_in_two_categories() -> None:
    counts = {"very_simple": 349, "simple": 1098}
    alone = [generate_suite("s", {name: count}) for name, count in counts.items()]
    # Both make a level of 7 by 7 cells without a wall; here it is the last of each.
    assert len({list(suite.levels)[-1].level.sha256 for suite in alone}) == 1
    together = generate_suite("s", counts)
    assert len({entry.level.sha256 for entry in together.levels}) == 349 + 1098


@pytest.mark.parametrize(
    ("counts", "message"),
    [({"simpel": 1}, "did you mean 'simple'"), ({"simple": 0}, "0 levels of simple; at least 1 is wanted")],
)
def test_wrong_numbers_are_refused(counts: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        generate_suite("s", counts)
    assert message in str(error.value)


def test_seeds_that_the_generator_does_not_have_are_refused(file: Path) -> None:
    for seed in (-1, 2**32):
        with pytest.raises(ConfigError, match=f"seed = {seed}\n  give one from 0 to 4294967295"):
            generate_suite("s", {"simple": 1}, seed=seed)
    changed(file, lambda c: c["medium"][0].update(seed=2**64))
    with pytest.raises(DataError, match=r"categories\.medium\.0\.seed = 18446744073709551616"):
        read_suite(file)
