import hashlib

import pytest

from rayrl.envs.mine_maze.level import Level
from rayrl.errors import DataError
from tests.envs.mine_maze.mazes import level

ROWS = ("#.a.", "S.A*", "...E")


def test_a_level_is_its_text() -> None:
    made = level(*ROWS, "2,0 RR")
    assert made.content == (*ROWS, "2,0 RR")
    assert made.sha256 == hashlib.sha256(b"#.a.\nS.A*\n...E\n2,0 RR").hexdigest()
    assert (made.mines, made.patrols, made.maze.doors, made.maze.period) == (1, 1, 1, 4)
    # Cells 8, 9, 10 and back to 9, every four steps.
    assert made.maze.patrols[:4, 0].tolist() == [8, 9, 10, 9]
    assert made.maze.mined[: 4 * 12].reshape(4, 12)[:, 7].tolist() == [1, 1, 1, 1]


def test_patrols_take_turns_by_the_least_common_multiple() -> None:
    assert level("S..", "...", "..E", "0,1 R", "1,0 RR").maze.period == 4
    assert level("S....", ".....", "....E", "0,1 RRR", "1,0 RR").maze.period == 12


def test_one_level_in_five_is_for_tests() -> None:
    made = level(*ROWS)
    assert (made.split == "test") == (int(made.sha256, 16) % 5 == 0)


def test_difficulty_grows_with_length_doors_and_mines() -> None:
    assert level("S..E", "....").difficulty == 3 / 4
    # Up and right to the switch, back and down, right, right and up... 1 mine, 1 door, 1 patrol.
    made = level(*ROWS, "2,0 RR")
    assert made.difficulty == made.optimal_steps / 4 + 2 + 1 / 4 + 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((), "no rows"),
        (("SE",), "1 rows of 2 cells; a level has 2 to 13 of both"),
        (("SE", "..", "..."), "row 2 has 3 cells, row 0 2"),
        (("SE", "x."), "row 1 has a cell 'x'"),
        (("S.", ".."), "0 cells 'E'; a level has one exit"),
        (("SE", "S."), "2 cells 'S'; a level has one start"),
        (("SE", "A."), "0 switches 'a' and 1 doors 'A'"),
        (("SE", "bB"), "0 switches 'a' and 0 doors 'A'"),
        (("SE", "..", "1,0 DD"), "patrol '1,0 DD' leaves the floor in row 2, column 0"),
        (("SE", "..", "0,0 D"), "patrol '0,0 D' leaves the floor in row 0, column 0"),
        (("SE", "..", "1,0 RLR"), "crosses its own path"),
        (("SE....", "......", "1,0 RRRR"), "patrol '1,0 RRRR'"),
        (("SE", "..", "1,0"), "patrol '1,0'"),
        (("SE....", "......", "1,0 R", "1,1 R", "1,2 R", "1,3 R"), "4 patrols; a level has 3 at most"),
        (("SE", "..", "..", "2,0 R", "1,0 R"), "in another order"),
        (("SE", "1,0 R", ".."), "between the rows"),
    ],
)
def test_a_wrong_level_is_refused(content: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match="test: ") as error:
        level(*content)
    assert message in str(error.value)


def test_a_level_fits_its_category() -> None:
    with pytest.raises(DataError, match="8 columns; a level of very_simple has 7 at most"):
        Level.parse("very_simple", ("S......E", "........"), where="test")
    with pytest.raises(DataError, match="1 doors; a level of very_simple has 0 at most"):
        Level.parse("very_simple", ("SaAE", "...."), where="test")
