"""The train stage with its trials under Tune: what they fail of is told, and tried once."""

import re

import pytest
import torch
from run_fixtures import prepare_run

from rayrl.errors import ResourceError, StageError
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.records import last_records, recorded
from rayrl.pipeline.stages import StageUnit, stage_kind
from rayrl.pipeline.stop import request_stop
from rayrl.pipeline.train_stage import run
from rayrl.pipeline.trial import read_trial
from tests.algorithms.stateful_env import StatefulCartPole
from tests.pipeline.faulty_envs import Forgetful, FullDisk, Shaky

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture
def context(tmp_path):
    def make(env: type, **train: object) -> StageContext:
        options = {"train_batch_size_per_learner": 64, "minibatch_size": 32, "num_epochs": 1}
        values = {
            "name": "cart",
            "seeds": [0],
            "env": {"id": f"{env.__module__}:{env.__name__}"},
            "conditions": ["no_pretrain"],
            "train": {"total_steps": 64, "envs_per_runner": 4, "gpus_per_learner": 0, "options": options}
            | train,
        }
        folder = prepare_run(tmp_path / "run", values)
        return StageContext(folder.experiment(), folder, StageUnit(stage_kind("train")))

    return make


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (FullDisk, r"(?s)could not write .*: the file would exceed the size limit\n +raise the limit"),
        (Forgetful, r"ZeroDivisionError\W+cannot say"),
    ],
)
def test_what_a_trial_fails_of_is_told_and_not_tried_again(context, env, message):
    train = context(env)
    with pytest.raises(StageError, match=message) as error:
        run(train)
    assert error.value.message.startswith("1 of 1 trials failed:\n  mlp_baseline-no_pretrain-seed_0: ")
    assert "were lost" not in error.value.message
    state = read_trial(train.folder, "mlp_baseline", "no_pretrain", 0)
    assert (state.state, state.resumed_from) == ("failed", ())
    (attempt,) = (train.folder.path / "tune").glob("*/mlp_baseline-no_pretrain-seed_0")
    assert len((attempt / "result.json").read_text().splitlines()) == 2  # an iteration, and the error


def test_what_a_trial_warns_of_is_said_when_the_stage_ends(context):
    train = context(Shaky, total_steps=640)
    with recorded(train.folder.logs / "train.jsonl", run="cart"):
        assert run(train) is not None
    told = [record for record in last_records(train.folder.logs / "train.jsonl") if "event" in record]
    assert told[-1]["event"] == "warning"
    assert re.match(
        "mlp_baseline-no_pretrain-seed_0: the environment raised [1-9][0-9]* times", told[-1]["message"]
    )


def test_a_run_that_is_to_stop_does_not_wait_for_room(context):
    train = context(StatefulCartPole, env_runners=64, resource_timeout_s=30)
    request_stop(train.folder, "a test")
    assert run(train) is None


def test_where_there_is_no_room_it_says_what_is_asked_for(context):
    train = context(StatefulCartPole, env_runners=64, resource_timeout_s=2)
    with pytest.raises(ResourceError, match=r"no trial could start within 2 s: each asks for .*65"):
        run(train)


def test_in_this_process_a_trial_has_the_threads_that_its_own_would_have(context, monkeypatch):
    seen, reset = [], StatefulCartPole.reset

    def watched(env, **arguments):
        seen.append(torch.get_num_threads())
        return reset(env, **arguments)

    monkeypatch.setattr(StatefulCartPole, "reset", watched)
    train = context(StatefulCartPole, cpus_per_learner=2)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert run(StageContext(train.experiment, train.folder, train.unit, local=True)) is not None
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {2}
