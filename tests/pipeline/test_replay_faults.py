"""Trials whose replay shards, worker or own process are killed while they train."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ray._private import state
from replay_fixtures import KILLED, SPEC, lines_of, train, weights_of

from rayrl.errors import StorageError
from rayrl.experience.replay import ReplayBuffer
from rayrl.pipeline.trial import TrialState

pytestmark = [pytest.mark.chaos, pytest.mark.usefixtures("ray_cluster")]
STEPS = 384


def processes(kind):
    """Ids of the processes of the actors of a class."""
    actors = state.actors(actor_state_name="ALIVE").values()
    return sorted(actor["Pid"] for actor in actors if actor["ActorClassName"] == kind)


def kill_one(kind):
    """Ends one actor of a class as the kernel would."""
    os.kill(processes(kind)[0], signal.SIGKILL)


def fill_disk():
    """Lets one shard write no file of more than 4 kB."""
    resource.prlimit(processes("ShardServer")[0], resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


def over(replay, **train):
    """Options of a trial whose buffer is over two shards."""
    shards = {"num_replay_shards": 2, "cpus_per_replay_shard": 0.1}
    return {"env_runners": 1, "replay": {**shards, **replay}, **train}


def spooled(tmp_path, **replay):
    return over({"durability": "spool", "spool_path": str(tmp_path / "spool"), **replay})


def held(folder):
    """Episode and number of each step in the saved buffer."""
    batch = ReplayBuffer.load(SPEC.folder(folder) / "replay_buffer").get_all_trajectories().batch
    columns = batch.trajectory_columns
    return [
        (*episode, first + i)
        for episode, first, length in zip(
            columns["episode_id"].tolist(),
            columns["first_step"].tolist(),
            batch.lengths.tolist(),
            strict=True,
        )
        for i in range(length)
    ]


def state_of(folder):
    return TrialState.parse(json.loads((SPEC.folder(folder) / "trial.json").read_text()), where="trial.json")


def test_with_a_spool_a_killed_shard_loses_nothing(replay_trial, tmp_path):
    folder = replay_trial(train=spooled(tmp_path))
    assert train(folder, at={2: lambda: kill_one("ShardServer")})
    assert [line["replay"]["steps"] for line in lines_of(folder)] == [96, 192, 288, STEPS]
    assert len(held(folder)) == len(set(held(folder))) == STEPS
    ended = state_of(folder)
    (warning,) = ended.warnings
    assert warning == (
        "replay shards died once and came back with all that they held; priorities began again at the highest"
    )
    assert not ended.exact


def test_with_a_spool_and_uniform_draws_a_killed_shard_changes_nothing(replay_trial, tmp_path):
    whole = replay_trial("whole", train=over({"sampler": "uniform"}))
    killed = replay_trial("killed", train=spooled(tmp_path, sampler="uniform"))
    assert train(whole)
    assert train(killed, at={2: lambda: kill_one("ShardServer")})
    assert state_of(killed).exact
    assert "came back" in state_of(killed).warnings[0]
    for name, value in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(killed)[name], value)


def test_a_full_spool_disk_ends_the_trial_which_goes_on_once_there_is_room(replay_trial, tmp_path):
    folder = replay_trial(train=spooled(tmp_path))
    with pytest.raises(StorageError, match="the file would exceed the size limit"):
        train(folder, at={2: fill_disk})
    assert train(folder)
    assert len(held(folder)) == len(set(held(folder))) == STEPS


def test_without_a_spool_training_goes_on_with_the_rest_and_says_so(replay_trial):
    folder = replay_trial(train=over({}))
    assert train(folder, at={2: lambda: kill_one("ShardServer")})
    *_, before_the_last, last = (line["replay"] for line in lines_of(folder))
    assert before_the_last["lost_shards"] == last["lost_shards"] == 1
    assert 0 < last["lost_steps"] < 192
    assert last["steps"] + last["lost_steps"] == STEPS
    assert len(held(folder)) == len(set(held(folder))) == last["steps"]
    assert lines_of(folder)[-1]["learner"]["gradient_steps"] == 24
    ended = state_of(folder)
    (warning,) = ended.warnings
    assert re.match(rf"replay shard [01] was lost with {last['lost_steps']:.0f} steps", warning)
    assert not ended.exact


def test_a_loss_is_remembered_by_a_trial_that_goes_on(replay_trial):
    folder = replay_trial(train=over({}))
    assert not train(folder, stop_after=3, at={2: lambda: kill_one("ShardServer")})
    (warning,) = state_of(folder).warnings
    assert train(folder)
    assert state_of(folder).warnings == (warning,)
    assert not state_of(folder).exact


def test_a_killed_worker_loses_only_what_it_had_not_delivered(replay_trial):
    folder = replay_trial(train=over({}, env_runners=2, cpus_per_env_runner=0.5))
    assert train(folder, at={2: lambda: kill_one("ColumnarEnvRunner")})
    assert [line["replay"]["steps"] for line in lines_of(folder)] == [96, 192, 288, STEPS]
    assert len(held(folder)) == len(set(held(folder))) == STEPS
    assert not state_of(folder).exact


@pytest.mark.parametrize("mode", ["full", "reference"])
@pytest.mark.parametrize("after", ["checkpoint", "latest"])
def test_steps_after_the_checkpoint_of_a_killed_trial(replay_trial, tmp_path, after, mode):
    replay = {"replay_after_restore": after, "replay_in_checkpoint": mode}
    folder = replay_trial(train=spooled(tmp_path, **replay))
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder.path)], check=False, cwd=Path.cwd())
    assert ended.returncode == -signal.SIGKILL
    assert train(folder)
    told = state_of(folder)
    assert told.resumed_from == (192,)
    pattern = r"replay held (\d+) steps that are newer than step_0+192"
    later = [int(re.match(pattern, warning)[1]) for warning in told.warnings]
    assert len(later) == 2  # of each shard
    assert 0 < sum(later) <= 96
    assert len(held(folder)) == len(set(held(folder)))
    if after == "latest":
        assert all(warning.endswith(", which stayed") for warning in told.warnings)
        assert len(held(folder)) == STEPS + sum(later)
        assert not told.exact
        return
    assert len(held(folder)) == STEPS
    for steps, warning in zip(later, told.warnings, strict=True):
        aside = Path(re.search(r"; they are kept in (.*)$", warning)[1])
        assert json.loads((aside / "aside.json").read_text())["steps"] == steps
    assert told.exact
    whole = replay_trial("whole", train=over({}))
    assert train(whole)
    for name, value in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(folder)[name], value)
