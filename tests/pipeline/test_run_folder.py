"""Run folders: prepared once, resumed, refused to strangers."""

import json

import pytest

from rayrl.errors import IntegrityError, RunError, StorageError
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.preflight import check_environment
from rayrl.pipeline.run_folder import RunFolder, invocation_of, new_run_folder, unfinished_run_folder


def prepare(path, file, *overrides):
    folder = RunFolder(path)
    folder.prepare(load_experiment(file, overrides), invocation_of(file, overrides, smoke=False))
    return folder


def test_the_folder_holds_a_complete_experiment_file(tmp_path, file):
    folder = prepare(tmp_path / "run", file, "train.total_steps=5")
    assert folder.experiment() == load_experiment(file, ["train.total_steps=5"])
    assert json.loads(folder.config_file.read_text())["train"]["total_steps"] == 5
    assert folder.record.invocation.overrides == ("train.total_steps=5",)


def test_a_run_keeps_its_id_and_takes_other_options(tmp_path, file):
    before = prepare(tmp_path / "run", file).record
    after = prepare(tmp_path / "run", file, "seeds=[0, 1]").record
    assert (before.run_id, before.created) == (after.run_id, after.created)
    assert RunFolder(tmp_path / "run").experiment().seeds == (0, 1)


@pytest.mark.parametrize("override", ["name=other", "env.id=Acrobot-v1"])
def test_another_experiment_is_refused(tmp_path, file, override):
    prepare(tmp_path / "run", file)
    with pytest.raises(
        RunError, match="the folder holds a run of another experiment: 'counting' on 'CartPole-v1'"
    ):
        prepare(tmp_path / "run", file, override)


def test_a_folder_with_other_files_is_refused(tmp_path, file):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(RunError, match="the folder holds files, but no run"):
        prepare(tmp_path / "run", file)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, file):
    (tmp_path / "run").touch()
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        prepare(tmp_path / "run", file)


def test_inputs_are_copied_by_hash_and_named_relative_to_the_folder(tmp_path, file):
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "weights").write_bytes(b"abc")
    folder = prepare(tmp_path / "run", file, f"pretrain.from={policy}")
    (copy,) = folder.record.inputs.values()
    assert folder.config["pretrain"]["from"] == copy.copy_
    assert copy.copy_.startswith(f"inputs/{copy.sha256[:12]}/")
    assert folder.experiment().pretrain.from_ == folder.path / copy.copy_
    assert (folder.path / copy.copy_ / "weights").read_bytes() == b"abc"

    (policy / "weights").write_bytes(b"abd")
    assert (folder.path / copy.copy_ / "weights").read_bytes() == b"abc"
    changed = prepare(tmp_path / "run", file, f"pretrain.from={policy}")
    assert changed.config["pretrain"]["from"] != copy.copy_


def test_an_environment_reads_the_copy_of_its_trace_wherever_it_is_built(tmp_path, monkeypatch):
    lines = "".join(f"{second},100,10\n" for second in range(50))
    (tmp_path / "trace.csv").write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n" + lines)
    file = tmp_path / "router.yaml"
    env = "{id: rayrl/Router-v0, config: {trace: trace.csv, requests: 8}}"
    file.write_text(f"name: on-a-trace\nenv: {env}\nconditions: [no_pretrain]\n")
    folder = prepare(tmp_path / "run", file)
    (tmp_path / "trace.csv").unlink()
    monkeypatch.chdir("/")
    (copy,) = folder.record.inputs.values()
    assert copy.source == str(tmp_path / "trace.csv")
    experiment = folder.experiment()
    assert experiment.env.config["trace"] == folder.path / copy.copy_
    check_environment(experiment)


def test_an_input_that_holds_the_run_folder_is_refused(tmp_path, file):
    with pytest.raises(RunError, match="the run folder lies within the input"):
        prepare(tmp_path / "run", file, f"pretrain.from={tmp_path}")
    assert not (tmp_path / "run" / "inputs").exists()


@pytest.mark.parametrize("text", ["{}", "[]", '{"name": "counting", "env": 3}'])
def test_a_damaged_run_is_told_and_does_not_keep_new_ones_from_starting(tmp_path, file, text):
    folder = prepare(tmp_path / "runs" / "damaged", file)
    folder.config_file.write_text(text)
    experiment = load_experiment(file)
    with pytest.raises(IntegrityError, match="lacks name or env"):
        folder.check(experiment)
    invocation = invocation_of(file, (), smoke=False)
    assert unfinished_run_folder(experiment, invocation, tmp_path / "runs") is None


def test_the_folder_can_be_moved_and_run_from_its_own_file(tmp_path, file):
    (tmp_path / "policy").mkdir()
    prepare(tmp_path / "run", file, f"pretrain.from={tmp_path / 'policy'}")
    (tmp_path / "policy").rmdir()
    (tmp_path / "run").rename(tmp_path / "moved")
    folder = RunFolder(tmp_path / "moved")
    assert folder.experiment().pretrain.from_.is_relative_to(folder.path)
    again = prepare(folder.path, folder.config_file)
    assert again.config == folder.config


def test_the_newest_unfinished_run_of_the_same_call_is_found(tmp_path, file):
    experiment, invocation = load_experiment(file), invocation_of(file, (), smoke=False)
    assert unfinished_run_folder(experiment, invocation, tmp_path) is None
    first = prepare(new_run_folder(load_experiment(file), tmp_path).path, file)
    assert first.path.name.startswith("counting_")
    second = prepare(new_run_folder(load_experiment(file), tmp_path).path, file)
    assert first.path != second.path
    prepare(tmp_path / "other", file, "seeds=[1]")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")

    assert unfinished_run_folder(experiment, invocation, tmp_path).path == second.path
    second.set_finished(True)
    assert unfinished_run_folder(experiment, invocation, tmp_path).path == first.path
    second.set_finished(False)
    assert unfinished_run_folder(experiment, invocation, tmp_path).path == second.path
    renamed = load_experiment(file, ["name=other"])
    assert unfinished_run_folder(renamed, invocation, tmp_path) is None


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(RunError, match="there is no run in this folder"):
        _ = RunFolder(tmp_path).record
