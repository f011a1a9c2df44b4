"""Demonstrations that are collected by Ray actors."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from rayrl.envs.demonstrators import register_demonstrator
from rayrl.envs.spec import EnvSpec
from rayrl.errors import DataError, EnvError, ResourceError
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import MLPBaseline
from rayrl.models.policy_folder import save_policy
from rayrl.rollout import demos
from rayrl.rollout.demo_plan import spaces_of
from rayrl.rollout.demos import collect_demonstrations
from rayrl.rollout.options import CollectOptions
from tests.rollout.test_demos import COUNTING, HERE, OPTIONS, Killed, Right, collected, contents, killed_after

pytestmark = pytest.mark.usefixtures("ray_cluster")
BY_ACTORS = OPTIONS.model_copy(update={"workers": 2})


class Suicidal(Right):
    """Kills its process, unless a file says that it did so already."""

    def act(self, env: Any, observations: Any) -> Any:
        mark = Path(os.environ["RAY_TMPDIR"]) / "killed-once"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().act(env, observations)


def test_the_bytes_are_the_same_though_an_actor_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demos, "_FILE_STEPS", 40)
    here = contents(collected(tmp_path / "here"))
    register_demonstrator(COUNTING, "also_right", f"{__name__}:Suicidal")
    assert contents(collected(tmp_path / "actors", BY_ACTORS)) == here
    assert (Path(os.environ["RAY_TMPDIR"]) / "killed-once").exists()
    register_demonstrator(COUNTING, "also_right", f"{HERE}:Right")


def test_what_actors_began_may_be_finished_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demos, "_FILE_STEPS", 20)
    with pytest.raises(Killed):
        collected(tmp_path / "begun", BY_ACTORS, progress=killed_after(5))
    assert list((tmp_path / "begun").glob("*.arrow"))
    assert contents(collected(tmp_path / "begun")) == contents(collected(tmp_path / "straight"))


@pytest.mark.parametrize(
    ("env", "demonstrator", "error", "message"),
    [
        (COUNTING, "wrong", DataError, "demonstrator wrong: gave"),
        (f"{HERE}:Doomed", "right", EnvError, "raised 11 times with no episode or batch.*doomed"),
    ],
)
def test_what_an_actor_raises_is_raised(
    tmp_path: Path, env: str, demonstrator: str, error: type[Exception], message: str
) -> None:
    options = CollectOptions(demonstrators={demonstrator: 1}, steps=10, workers=1)
    with pytest.raises(error, match=f"(?s){message}") as raised:
        collect_demonstrations(env, tmp_path, options)
    assert type(raised.value) is error


def test_workers_that_cannot_start_are_an_error(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"workers": 100})
    with pytest.raises(ResourceError, match=r"\d of 100 workers within 1 s") as raised:
        collected(tmp_path, options, resource_timeout_s=1)
    assert raised.value.where == "collect.workers"


def test_scenarios_and_policies_give_the_same_bytes_by_actors(tmp_path: Path) -> None:
    env = EnvSpec.parse({"id": "rayrl/Router-v0", "config": {"requests": 16}}, where="env")
    spaces = spaces_of(env)
    network = ActorCriticNetwork(spaces.observation, spaces.action, MLPBaseline(fcnet_hiddens=(8,)))
    save_policy(tmp_path / "policy", network, architecture="mlp_baseline", provenance={})
    values = {
        "demonstrators": {
            "teacher": {"policy": str(tmp_path / "policy"), "deterministic": False},
            "random": 1,
        },
        "scenarios": {"double_load": 0.3, "lost_replica": 0.3},
        "steps": 600,
        "envs": 2,
    }
    here, actors = (
        collect_demonstrations(
            env, tmp_path / str(workers), CollectOptions.parse(values | {"workers": workers}, where="collect")
        )
        for workers in (0, 2)
    )
    assert here is not None
    assert actors is not None
    assert contents(actors) == contents(here)
    assert actors.manifest.extra == here.manifest.extra
