"""``rayrl suite``: what it prints, its exit codes, and bad input."""

import json
import sys

import pytest

from rayrl.cli.main import main
from rayrl.envs.mine_maze.level import Level


@pytest.fixture
def rayrl(monkeypatch, capsys, tmp_path):
    """Runs the command in this process; returns exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rayrl", "suite", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", sys.path.copy())
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


@pytest.fixture
def suite(rayrl):
    code, out, err = rayrl("generate", "s.json", "--category", "simple=4", "--category", "medium=2")
    assert (code, out, err) == (0, "s.json: 4 simple, 2 medium\n", "")
    return "s.json"


def test_generating_again_gives_the_same_bytes(rayrl, suite, tmp_path):
    first = (tmp_path / suite).read_bytes()
    code, _, err = rayrl("generate", suite, "--category", "simple=4", "--category", "medium=2")
    assert code == 1
    assert "s.json: is there already" in err
    rayrl("generate", suite, "--category", "simple=4", "--category", "medium=2", "--force")
    assert (tmp_path / suite).read_bytes() == first
    rayrl("generate", "t.json", "--category", "simple=4", "--split", "train", "--name", "other")
    assert json.loads((tmp_path / "t.json").read_text())["name"] == "other"
    code, out, _ = rayrl("verify", suite, "t.json")
    assert (code, out) == (0, "s.json: as recorded\nt.json: as recorded\n")


def test_verify_names_what_is_wrong(rayrl, suite, tmp_path):
    values = json.loads((tmp_path / suite).read_text())
    values["categories"]["simple"][1]["sha256"] = "0" * 64
    (tmp_path / "changed.json").write_text(json.dumps(values))
    code, out, _ = rayrl("verify", suite, "changed.json")
    assert code == 1
    lines = out.splitlines()
    assert lines[0].startswith("changed.json: level 'simple_0001': sha256 is 000000000000…")
    assert len(lines) == 1 + 5  # the other five stand in both files
    assert lines[1] == "changed.json: level 'simple_0000' is the same as simple_0000 of s.json"


def test_verify_says_what_it_could_not_check(rayrl, suite, tmp_path):
    values = json.loads((tmp_path / suite).read_text()) | {"generator": 99}
    (tmp_path / "later.json").write_text(json.dumps(values))
    code, out, _ = rayrl("verify", "later.json")
    assert code == 0
    unchecked, recorded = out.splitlines()
    assert unchecked.startswith("later.json: not checked: the seeds of 6 levels, which version 99 of the gen")
    assert recorded == "later.json: as recorded"


def test_show_tells_of_categories_and_draws_levels(rayrl, suite):
    code, out, err = rayrl("show", suite)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "s: rayrl/MineMaze-v0, test levels, generator 1"
    assert [line.split()[:2] for line in out.splitlines()[3:5]] == [["simple", "4"], ["medium", "2"]]
    code, out, _ = rayrl("show", suite, "--json")
    assert json.loads(out)["categories"]["medium"]["levels"] == 2
    code, out, _ = rayrl("show", suite, "medium_0001")
    assert "medium_0001: medium, seed " in out
    assert " S" in out
    code, drawn, _ = rayrl("show", suite, "medium_0001", "--json")
    content = json.loads(drawn)["content"]
    assert f"  {' '.join(content[0])}\n" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("generate", "x.json", "--category", "simpel=1"), "did you mean 'simple'? (known: very_simple, "),
        (("generate", "x.json", "--category", "simple"), "'simple'"),
        (("generate", "x.json", "--category", "simple=0"), "--category: 'simple=0'\n  LEVELS is at least 1"),
        (("generate", "x.json", "--category", "simple=-3"), "'simple=-3'\n  LEVELS is at least 1"),
        (("generate", "x.json", "--category", "simple=x"), "write NAME=LEVELS, as simple=50"),
        (("generate", "x.json", "--category", "simple=1", "--category", "simple=2"), "simple twice"),
        (("show", "s.json", "simple_1"), "has no level 'simple_1'\n  did you mean 'simple_0001'?"),
        (("show", "missing.json"), "missing.json: cannot be read"),
        (("verify", "missing.json"), "missing.json: cannot be read"),
    ],
)
def test_bad_input(rayrl, suite, arguments, message):
    code, _, err = rayrl(*arguments)
    assert code == 1
    assert message in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": ["S#E", ".#."]}, "simple_0000': cannot be solved: no safe way leads from start to exit"),
        ({"content": ["S?E", "..."]}, "simple_0000': row 0 has a cell '?'; cells are .#ES*abcABC"),
        ({"contents": []}, "categories.simple.0.contents: unknown key; did you mean 'content'?"),
    ],
)
def test_verify_says_in_a_line_what_is_wrong_with_a_level(rayrl, suite, tmp_path, change, message):
    file = tmp_path / "wrong.json"
    document = json.loads((tmp_path / "s.json").read_text())
    level = document["categories"]["simple"][0]
    level |= change
    if "S#E" in level["content"]:
        level["sha256"] = Level.parse("simple", level["content"], where="here").sha256
    file.write_text(json.dumps(document))
    code, out, err = rayrl("verify", "wrong.json")
    assert code == 1
    assert message in out + err
    assert len((out + err).splitlines()) == 1


def test_show_cuts_off_no_name_where_the_terminal_is_narrow(rayrl, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    rayrl("generate", "n.json", "--category", "very_simple=1")
    lines = rayrl("show", "n.json")[1].splitlines()
    assert "difficulty" in lines[1]
    assert lines[3].split()[0] == "very_simple"
