"""``rayrl data`` and ``rayrl import``: what they print, their exit codes, and bad input."""

import json
import sys

import pyarrow.parquet as pq
import pytest

from rayrl.cli.main import main
from rayrl.experience.dataset import open_dataset
from tests.experience.legacy import pickles
from tests.experience.stored.building import dataset, saved_buffer


@pytest.fixture
def rayrl(monkeypatch, capsys, tmp_path):
    """Runs the command in this process; returns exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rayrl", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", sys.path.copy())
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


@pytest.fixture
def made(tmp_path):
    """``set`` is a dataset, ``buffer`` a saved buffer, ``demo.pkl`` a pickled demonstration set."""
    dataset(tmp_path / "set")
    saved_buffer(tmp_path / "buffer")
    pickles.dump(tmp_path / "demo.pkl", pickles.demonstrations(8))
    return tmp_path


def test_info(rayrl, made):
    code, out, err = rayrl("data", "info", "buffer")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["holds", "19", "trajectories,", "233", "steps"] in lines
    assert ["online", "17", "200"] in lines
    assert ["obs", "array", "float32", "(2,)"] in lines
    assert ["demos/part-00000.arrow", "4", "33"] in [line[:3] for line in lines]
    code, out, _ = rayrl("data", "info", "set", "--json")
    assert json.loads(out)["steps"] == 524


def test_stats(rayrl, made):
    code, out, err = rayrl("data", "stats", "buffer")
    assert (code, err) == (0, "")
    assert ["num_train_trajectories", "15"] in [line.split() for line in out.splitlines()]
    assert "ends: 18 terminated, 0 truncated, 1 open" in out
    code, out, _ = rayrl("data", "stats", "set", "--json")
    assert json.loads(out)["lengths"]["max"] == 40


def test_verify_says_a_line_for_each_problem(rayrl, made):
    assert rayrl("data", "verify", "set")[:2] == (0, "set: 31 files, 524 steps, as recorded\n")
    file = made / "set" / "part-00002.arrow"
    file.write_bytes(file.read_bytes()[:-100])
    (made / "set" / "part-00030.arrow").unlink()
    code, out, err = rayrl("data", "verify", "set", "--sample")
    assert (code, err) == (1, "")
    first, second = out.splitlines()
    assert first.startswith("set/part-00002.arrow: is cut short: ")
    assert second == "set/part-00030.arrow: is missing; trajectories 30 to 30"


def test_verify_samples(rayrl, made):
    code, out, _ = rayrl("data", "verify", "buffer", "--sample")
    assert code == 0
    drawn = "256 steps, 256 steps with returns of 3, 256 fragments of 4 steps, 8 trajectories as stored"
    assert f"uniform, train: {drawn}" in out.splitlines()
    assert "fragments of 4 steps skipped (draws steps, not fragments of 4 steps)" in out


def test_export(rayrl, made):
    code, out, _ = rayrl("data", "export", "set", "--format", "parquet", "--out", "set.parquet")
    assert (code, out) == (0, "set.parquet: 524 rows\n")
    assert pq.read_metadata("set.parquet").num_rows == 524
    code, _, err = rayrl("data", "export", "set", "--out", "set.parquet")
    assert (code, err) == (1, "error: set.parquet: is there already\n  --force replaces it\n")
    assert rayrl("data", "export", "set", "--out", "set.parquet", "--force")[0] == 0


def test_import(rayrl, made):
    code, out, _ = rayrl("import", "legacy", "demo.pkl", "--out", "imported", "--trust")
    assert code == 0
    assert out.startswith("imported: layout demonstrations, steps 8, trajectories 8, ")
    assert "  note: rewards are not in the file" in out
    assert open_dataset("imported").num_steps == 8
    code, out, _ = rayrl("import", "legacy", "demo.pkl", "--out", "again", "--trust", "--json")
    assert json.loads(out)["read"]["steps"] == 8


def test_import_into_an_environments_spaces(rayrl, made):
    code, _, err = rayrl("import", "legacy", "demo.pkl", "--out", "o", "--trust", "--env", "CartPole-v1")
    assert (code, err) == (
        1,
        "error: obs: has (6,) for each step, where the environment has (4,)\n",
    )


BAD = {
    "nothing there": (["data", "info", "none"], "error: none: there is no such folder"),
    "a file": (["data", "stats", "demo.pkl"], "error: demo.pkl: is a file"),
    "another manifest": (
        ["data", "verify", "stage"],
        "error: stage/manifest.json: is the manifest of something",
    ),
    "no manifest": (["data", "info", "."], "error: .: there is no manifest.json"),
    "damaged manifest": (
        ["data", "info", "broken"],
        "error: broken/manifest.json: the manifest is not valid JSON",
    ),
    "a missing file": (["data", "info", "holey"], "error: holey/part-00003.arrow: the file is missing"),
    "export over the data": (
        ["data", "export", "set", "--out", "set"],
        "error: set: lies in what is exported",
    ),
    "export over a file": (["data", "export", "set", "--out", "demo.pkl", "--force"], "is no earlier export"),
    "no trust": (["import", "legacy", "demo.pkl", "--out", "o"], "error: demo.pkl: is read from pickles"),
    "no pickle": (["import", "legacy", "none.pkl", "--out", "o", "--trust"], "there is no such file"),
    "text": (
        ["import", "legacy", "text.pkl", "--out", "o", "--trust"],
        "text.pkl: is no pickle, or a damaged one",
    ),
    "no level": (["import", "legacy", "set", "--out", "o", "--trust"], "there is no .pkl file below it"),
    "a function": (
        ["import", "legacy", "evil.pkl", "--out", "o", "--trust"],
        "names builtins.print, which is not",
    ),
    "out is there": (
        ["import", "legacy", "demo.pkl", "--out", "set", "--trust"],
        "error: set: is there already",
    ),
    "unknown env": (
        ["import", "legacy", "demo.pkl", "--out", "o", "--trust", "--env", "CartPol-v1"],
        "did you mean 'CartPole-v1'?",
    ),
    "several envs": (
        ["import", "legacy", "demo.pkl", "--out", "o", "--trust", "--num-envs", "2"],
        "--num-envs and --ends are for replay buffers",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_message(rayrl, made, name):
    arguments, message = BAD[name]
    dataset(made / "holey")
    (made / "holey" / "part-00003.arrow").unlink()
    for folder, text in (("stage", '{"format_version": "1.0", "name": "train"}'), ("broken", "{")):
        (made / folder).mkdir()
        (made / folder / "manifest.json").write_text(text)
    (made / "text.pkl").write_text("episode,reward\n")
    (made / "evil.pkl").write_bytes(b"cbuiltins\nprint\n.")
    before = sorted(made.rglob("*"))
    code, out, err = rayrl(*arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert "Traceback" not in err
    assert sorted(made.rglob("*")) == before
    _, _, err = rayrl(*arguments, "--debug")
    assert "Traceback" in err
    assert message in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "info"],
        ["data", "look", "set"],
        ["data", "export", "set"],
        ["data", "export", "set", "--out", "x", "--format", "csv"],
        ["import", "legacy", "x"],
        ["import", "legacy", "x", "--out", "y", "--num-envs", "0"],
        ["import", "legacy", "x", "--out", "y", "--ends", "maybe"],
    ],
)
def test_wrong_usage_is_exit_code_2(rayrl, arguments):
    assert rayrl(*arguments)[0] == 2


def test_import_replays(rayrl, tmp_path):
    replay = {
        "id": "by hand",
        "level": {"category": "simple", "content": ["S*E", "..."]},
        "actions": "DRRU",
        "ended": "success",
    }
    replays = {"format": "rayrl-replays", "version": 1, "env": "rayrl/MineMaze-v0", "replays": [replay]}
    (tmp_path / "replays.json").write_text(json.dumps(replays))
    (tmp_path / "maze.yaml").write_text(
        "name: maze\nenv:\n  id: rayrl/MineMaze-v0\n"
        "  config: {categories: {simple: 1}, observations: [game_state]}\n"
    )
    code, out, err = rayrl("import", "replays", "replays.json", "--out", "demos", "--for", "maze.yaml")
    assert (code, out, err) == (0, "demos: 1 replays, 4 steps\n", "")
    assert list(open_dataset(tmp_path / "demos").spaces.observation) == ["game_state"]
    (tmp_path / "other.yaml").write_text("name: o\nenv: {id: CartPole-v1}\nconditions: [no_pretrain]\n")
    for arguments, message in (
        (("--for", "other.yaml"), "env.id = 'CartPole-v1'; replays are of rayrl/MineMaze-v0"),
        (("--set", "seeds=[0]"), "--set: replaces an option of --for FILE, which is not given"),
    ):
        code, _, err = rayrl("import", "replays", "replays.json", "--out", "more", *arguments)
        assert code == 1
        assert message in err
