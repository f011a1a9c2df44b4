"""A trial in chunks, without Tune: as one piece bit for bit, and what each chunk leaves behind."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
from run_fixtures import prepare_run

from rayrl.errors import TrainingError
from rayrl.models.policy_folder import load_policy
from rayrl.pipeline.chunk_record import read_record
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.execution import run_unit, why_run
from rayrl.pipeline.progress_record import note_end, read_progress
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import Chunk, plan
from rayrl.pipeline.stop import request_stop
from rayrl.pipeline.train_stage import make_run, run
from rayrl.pipeline.training_progress import TrainingProgress
from rayrl.pipeline.trial import read_trial
from rayrl.pipeline.trial_spec import TrialSpec
from rayrl.storage.atomic import write_json
from tests.algorithms.stateful_env import StatefulCartPole

OPTIONS = {
    "train_batch_size_per_learner": 64,
    "minibatch_size": 32,
    "num_epochs": 1,
    "model_config": {"fcnet_hiddens": [8], "normalize_observations": True},
}
SPEC = TrialSpec("mlp_baseline", "no_pretrain", 0)


class Poisoned(StatefulCartPole):
    """Its rewards are no numbers any more from some step on."""

    steps = 0

    def step(self, action):
        observation, _, *rest = super().step(action)
        self.steps += 1
        return observation, float("nan") if self.steps > 40 else 1.0, *rest


pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def prepare(tmp_path):
    def make(name="run", env="tests.algorithms.stateful_env:StatefulCartPole", **train) -> RunFolder:
        values = {
            "name": "cart",
            "seeds": [0],
            "env": {"id": env},
            "conditions": ["no_pretrain"],
            "train": {
                "total_steps": 300,
                "chunks": {"size": 130},
                "envs_per_runner": 4,
                "gpus_per_learner": 0,
                "options": OPTIONS,
            }
            | train,
        }
        return prepare_run(tmp_path / name, values)

    return make


def chunks_of(folder):
    ends = folder.experiment().train.chunk_ends
    return [Chunk(number, len(ends), end) for number, end in enumerate(ends, 1)]


def train(folder, chunk=None, *, stop_after=None):
    """Trains a chunk; whether it is done, and the steps of its iterations."""
    steps = []
    done = make_run(folder, SPEC, chunk).train(
        lambda result: steps.append(result["num_env_steps_sampled_lifetime"]),
        lambda: stop_after is not None and len(steps) >= stop_after,
    )
    return done, steps


def learned(folder):
    """Every line of the curve without timings, and the weights at the end."""
    lines = [json.loads(text) for text in (SPEC.folder(folder) / "progress.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["learner"]["seconds"]
    network = load_policy(SPEC.folder(folder) / "policy").network
    return lines, {name: tensor.numpy().tolist() for name, tensor in network.state_dict().items()}


def state(folder):
    return read_trial(folder, "mlp_baseline", "no_pretrain", 0)


def test_how_far_it_is_before_it_goes_on(prepare):
    folder = prepare()
    assert make_run(folder, SPEC).step == 0
    train(folder, chunks_of(folder)[0])
    assert make_run(folder, SPEC).step == 192
    write_json(SPEC.folder(folder) / "identity.json", {"of": "another course"}, "a trial's identity")
    assert make_run(folder, SPEC).step == 0


def test_damaged_summaries_stand_in_nobodys_way(prepare):
    folder = prepare()
    first, second, _ = chunks_of(folder)
    train(folder, first)
    (SPEC.folder(folder) / "chunks" / "chunk_1.json").write_text("x")
    (folder.path / "training_progress.json").write_text("{")
    note_end(folder, "stopped", None)
    TrainingProgress(folder, folder.experiment()).write("running")
    assert read_progress(folder).completed_chunks == 0
    make_run(folder, SPEC, first).chunk_file()
    assert read_record(SPEC.folder(folder), 1).step == 192
    assert train(folder, second) == (True, [256, 320])


def test_without_an_intact_checkpoint_nothing_of_the_past_stays(prepare):
    folder = prepare()
    first = chunks_of(folder)[0]
    train(folder, first)
    for checkpoint in (SPEC.folder(folder) / "checkpoints").glob("step_*"):
        (checkpoint / "algorithm_state.pkl").write_bytes(b"")
    assert train(folder, first) == (True, [64, 128, 192])
    assert any("is damaged" in incident for incident in state(folder).incidents)
    assert [
        json.loads(line)["step"] for line in (SPEC.folder(folder) / "progress.jsonl").read_text().splitlines()
    ] == [64, 128, 192]


def test_in_chunks_it_learns_what_it_does_in_one_piece(prepare):
    whole, cut = prepare("whole", chunks=None), prepare("cut")
    train(whole)
    first, second, last = chunks_of(cut)
    progress = TrainingProgress(cut, cut.experiment())
    progress.write("running")
    assert [chunk.status for chunk in read_progress(cut).chunks] == ["running", "waiting", "waiting"]

    assert train(cut, first) == (True, [64, 128, 192])
    assert not (SPEC.folder(cut) / "manifest.json").exists()
    assert make_run(cut, SPEC, first).reason_to_run() is None
    assert make_run(cut, SPEC, second).reason_to_run() == "it is at step 192 of 260"
    progress.write("running")
    told = read_progress(cut)
    assert (told.completed_chunks, told.requests_done, told.total_requests) == (1, 192, 300)
    assert told.latest_checkpoint == {
        SPEC.name: f"{'/'.join(SPEC.name.split('-'))}/checkpoints/step_{192:012d}"
    }

    assert train(cut, second) == (True, [256, 320])
    assert state(cut).state == "finished"  # the iteration that ends the chunk ends training, too
    assert make_run(cut, SPEC, last).reason_to_run() is None
    assert make_run(cut, SPEC, last).chunk_file().exists()
    assert learned(cut) == learned(whole)
    assert (state(cut).exact, state(cut).resumed_from) == (True, ())

    records = [read_record(SPEC.folder(cut), number) for number in (1, 2, 3)]
    assert [(record.end, record.step) for record in records] == [(130, 192), (260, 320), (300, 320)]
    assert records[0].memory_bytes > 50 * 2**20
    assert records[2].memory_bytes is None  # it had nothing to do
    assert records[0].weights_sha256 is None
    assert records[2].weights_sha256 == read_record(SPEC.folder(whole), 1).weights_sha256
    progress.write("completed")
    told = read_progress(cut)
    assert (told.status, told.completed_chunks, told.chunk_size) == ("completed", 3, 130)
    assert [chunk.requests for chunk in told.chunks] == [130, 130, 40]
    assert told.end_time is not None


def unit_context(folder, number):
    return StageContext(folder.experiment(), folder, plan_of(folder)[number - 1], local=True)


def plan_of(folder):
    return [unit for unit in plan(folder.experiment()) if unit.kind.name == "train"]


def test_the_stage_trains_chunk_after_chunk_and_keeps_the_runs_progress(prepare):
    folder = prepare(total_steps=200, chunks={"size": 100})
    first, second = plan_of(folder)
    assert (first.name, second.name) == ("train-chunk1", "train-chunk2")
    assert why_run(second, folder, folder.experiment()) == "train-chunk1 has not finished yet"
    assert run_unit(first, folder, folder.experiment(), local=True)
    told = read_progress(folder)
    assert (told.status, told.completed_chunks, told.end_time) == ("running", 1, None)
    assert told.chunks[0].log_file == "logs/train-chunk1.log"

    request_stop(folder, "a test")
    assert not run_unit(second, folder, folder.experiment(), local=True)
    assert [chunk.status for chunk in read_progress(folder).chunks] == ["completed", "stopped"]
    folder.stop_file.unlink()
    assert run_unit(second, folder, folder.experiment(), local=True)
    told = read_progress(folder)
    assert (told.status, told.completed_chunks, told.requests_done) == ("completed", 2, 256)
    assert why_run(second, folder, folder.experiment()) is None

    # Longer, it has only the new chunk to do.
    longer = prepare(total_steps=300, chunks={"size": 100})
    reasons = [why_run(unit, longer, longer.experiment()) for unit in plan_of(longer)]
    assert reasons == [None, None, "it has not finished yet"]


def test_a_policy_that_was_lost_is_made_again(prepare):
    folder = prepare(total_steps=64)
    (unit,) = plan_of(folder)
    assert run_unit(unit, folder, folder.experiment(), local=True)
    assert why_run(unit, folder, folder.experiment()) is None
    weights = SPEC.folder(folder) / "policy" / "weights.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    reason = f"{SPEC.name}: output policy/weights.safetensors is missing"
    assert why_run(unit, folder, folder.experiment()) == reason
    assert run_unit(unit, folder, folder.experiment(), local=True)
    assert weights.read_bytes() == before
    assert why_run(unit, folder, folder.experiment()) is None
    (SPEC.folder(folder) / "manifest.json").unlink()
    assert why_run(unit, folder, folder.experiment()) == f"{SPEC.name}: manifest.json is missing"


def test_how_a_chunk_ended_that_was_killed_is_noted_by_who_saw_it(prepare):
    folder = prepare()
    note_end(folder, "failed", "killed")
    assert read_progress(folder) is None
    progress = TrainingProgress(folder, folder.experiment())
    progress.write("running")
    note_end(folder, "failed", "killed")
    told = read_progress(folder)
    assert (told.status, told.error_message, told.end_time) == ("failed", "killed", told.last_update)
    assert [chunk.status for chunk in told.chunks] == ["failed", "waiting", "waiting"]
    # What the process itself has said, stays.
    note_end(folder, "stopped", None)
    assert read_progress(folder) == told
    (folder.path / "training_progress.json").write_text("{")
    progress.write("running")
    assert read_progress(folder).status == "running"


def test_a_chunk_that_fails_is_told(prepare):
    folder = prepare(env="tests.pipeline.test_chunk_units:Poisoned", chunks={"size": 200})
    with pytest.raises(TrainingError):
        run(unit_context(folder, 1))
    told = read_progress(folder)
    assert (told.status, [chunk.status for chunk in told.chunks]) == ("failed", ["failed", "waiting"])
    assert "are not finite" in told.error_message


def test_a_chunk_that_was_stopped_goes_on_and_may_be_cut_elsewhere_then(prepare):
    folder = prepare(chunks={"size": 260})
    assert train(folder, chunks_of(folder)[0], stop_after=1) == (False, [64])
    assert state(folder).state == "stopped"
    folder = prepare(chunks={"size": 100})
    first, second, _ = chunks_of(folder)
    assert train(folder, first) == (True, [128])
    assert state(folder).resumed_from == (64,)
    assert train(folder, second) == (True, [192, 256])
    # The beginning of a chunk is no interruption.
    assert state(folder).resumed_from == (64,)


def test_a_damaged_checkpoint_is_told_and_costs_no_exactness(prepare):
    whole, folder = prepare("whole"), prepare(checkpoint_every_iterations=1)
    train(whole)
    train(folder, stop_after=3)
    file = SPEC.folder(folder) / "checkpoints" / "step_000000000192" / "algorithm_state.pkl"
    file.write_bytes(file.read_bytes()[:-1])
    assert train(folder) == (True, [192, 256, 320])
    assert learned(folder) == learned(whole)
    (incident,) = state(folder).incidents
    assert incident.startswith("the checkpoint of step 192 is damaged (output algorithm_state.pkl has")
    assert incident.endswith("and that of step 128 is used")
    assert (state(folder).exact, state(folder).resumed_from) == (True, (128,))


def test_without_the_optimizers_state_it_goes_on_inexactly_and_says_so(prepare):
    whole, folder = prepare("whole"), prepare(save_optimizer_state=False)
    train(whole)
    train(folder, stop_after=2)
    newest = SPEC.folder(folder) / "checkpoints" / "latest"
    train(folder)
    assert not state(folder).exact
    (incident,) = state(folder).incidents
    assert incident.startswith("at step 128 it went on without the optimizer's state; set train.save_optim")
    assert newest.exists()
    lines, expected = learned(folder)[0], learned(whole)[0]
    assert lines[:2] == expected[:2]
    assert lines[3]["learner"] != expected[3]["learner"]


def test_a_loss_that_is_not_a_number_leaves_the_last_good_checkpoint_and_the_batch(prepare):
    folder = prepare(env="tests.pipeline.test_chunk_units:Poisoned", checkpoint_every_iterations=1)
    with pytest.raises(TrainingError, match="of the batch are not finite") as error:
        train(folder)
    make_run(folder, SPEC).fail(str(error.value))
    told = state(folder)
    (file,) = (SPEC.folder(folder) / "faults").iterdir()
    assert (told.state, told.step) == ("failed", 128)
    assert str(file) in told.error
    batch = safetensors.numpy.load_file(file)
    assert len(batch["obs"]) == 64
    assert np.isnan(batch["value_targets"]).any()
    assert np.isfinite(batch["obs"]).all()


def test_an_environment_without_a_state_goes_on_exactly_from_where_episodes_begin_anew(prepare):
    resets = {"reset_on_checkpoint": True, "checkpoint_every_iterations": 2, "chunks": None}
    whole, folder = (prepare(name, env="CartPole-v1", **resets) for name in ("whole", "parts"))
    train(whole)
    # Asked to stop between two checkpoints, it falls back on the first.
    assert train(folder, stop_after=3) == (False, [64, 128, 192])
    assert train(folder) == (True, [192, 256, 320])
    assert learned(folder) == learned(whole)
    assert state(folder).exact

    plain = prepare("plain", env="CartPole-v1", chunks=None)
    train(plain, stop_after=3)
    train(plain)
    assert not state(plain).exact

    # A longer training would have begun no new episodes where the shorter one ended.
    longer = prepare("parts", env="CartPole-v1", total_steps=600, **resets)
    train(longer)
    assert not state(longer).exact


def test_where_checkpoints_are_is_of_the_course_only_where_episodes_begin_anew(prepare):
    config = prepare(chunks=None).config
    moved = json.loads(json.dumps(config))
    moved["train"] |= {"chunks": {"size": 9}, "checkpoint_every_iterations": 3, "keep_checkpoints": 9}
    assert SPEC.identity(moved) == SPEC.identity(config)
    for values in (config, moved):
        values["train"]["reset_on_checkpoint"] = True
    assert SPEC.identity(moved) != SPEC.identity(config)
    kept = json.loads(json.dumps(config))
    kept["train"]["keep_checkpoints"] = 9
    assert SPEC.identity(kept) == SPEC.identity(config)


def test_resets_need_checkpoints_at_known_iterations(prepare):
    with pytest.raises(Exception, match="reset_on_checkpoint needs checkpoint_every_iterations"):
        prepare(reset_on_checkpoint=True)


def test_a_trial_that_starts_anew_forgets_its_chunks(prepare):
    folder = prepare()
    train(folder, chunks_of(folder)[0])
    folder = prepare(options=OPTIONS | {"lr": 0.01})
    assert make_run(folder, SPEC, chunks_of(folder)[0]).reason_to_run() is not None
    shutil.rmtree(SPEC.folder(folder) / "checkpoints")
    assert train(folder, chunks_of(folder)[0]) == (True, [64, 128, 192])
