"""Demonstrations: whole episodes, exact shares, and the same bytes whatever interrupts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rayrl.envs.demonstrators import register_demonstrator
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, DataError, EnvError, RunError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import Source
from rayrl.experience.dataset import Dataset, EnvInfo
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.rollout import demos
from rayrl.rollout.demo_plan import spaces_of, steps_of_each
from rayrl.rollout.demos import collect, collect_demonstrations
from rayrl.rollout.options import CollectOptions
from tests.rollout.counting_env import (
    SPACES,
    CountingEnv,
    action_at,
    decode,
    encode,
    length_of,
    parts_of,
    reward_of,
)

HERE = "tests.rollout.test_demos"
COUNTING = "tests.rollout.counting_env:CountingEnv"
OPTIONS = CollectOptions(demonstrators={"right": 2, "also_right": 1}, steps=150, envs=3, seed=5)


class Right:
    """Gives the actions that a counting environment asks for, as ``action_at`` of what it observes."""

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def act(self, env: Any, observations: Any) -> Any:
        return action_at(*decode({"obs": observations}).T)

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: Any) -> None:
        pass


class Wrong(Right):
    def act(self, env: Any, observations: Any) -> Any:
        return super().act(env, observations) + 7


class Endless(CountingEnv):
    def step(self, action: Any) -> Any:
        self.at += 1
        return encode("vector", self.seed, self.episode, self.at), 1.0, False, False, {}


class Doomed(CountingEnv):
    def step(self, action: Any) -> Any:
        raise RuntimeError("doomed")


def register_all() -> None:
    for env in (COUNTING, f"{HERE}:Endless", f"{HERE}:Doomed"):
        for name, demonstrator in (("right", "Right"), ("also_right", "Right"), ("wrong", "Wrong")):
            register_demonstrator(env, name, f"{HERE}:{demonstrator}")


register_all()


def collected(path: Path, options: CollectOptions = OPTIONS, **kwargs: Any) -> Dataset:
    dataset = collect_demonstrations(COUNTING, path, options, **kwargs)
    assert dataset is not None
    return dataset


def by_name(batch: TrajectoryBatch) -> dict[str, TrajectoryBatch]:
    names = np.array(batch.trajectory_columns["demonstrator"].to_text())  # type: ignore[union-attr]
    return {name: batch.select(np.flatnonzero(names == name)) for name in dict.fromkeys(names.tolist())}


def contents(dataset: Dataset) -> list[str]:
    return [file.sha256 for file in dataset.manifest.files]


def test_each_has_its_share_of_whole_episodes(tmp_path: Path) -> None:
    dataset = collected(tmp_path)
    dataset.verify()
    batch = dataset.load()
    assert dataset.num_steps == 150
    columns: Any = batch.trajectory_columns
    assert (columns["source"] == Source.demo).all()
    assert (columns["first_step"] == 0).all()
    assert len(np.unique(columns["episode_id"], axis=0)) == batch.num_trajectories
    each = by_name(batch)
    assert {name: part.num_steps for name, part in each.items()} == {"right": 100, "also_right": 50}
    seen: set[int] = set()
    for name, part in each.items():
        found = parts_of(part)
        # Every trajectory is the first episode of its seed; all but the last are whole.
        assert all((episode, first) == (0, 0) for _, episode, first, _ in found)
        assert all(steps == length_of(seed, 0) for seed, _, _, steps in found[:-1])
        assert 0 < found[-1][3] <= length_of(found[-1][0], 0)
        seeds = {seed for seed, *_ in found}
        assert len(seeds) == len(found)
        assert not seeds & seen
        seen |= seeds
        statistics = dataset.manifest.extra["demonstrators"][name]
        whole = [steps for seed, _, _, steps in found if steps == length_of(seed, 0)]
        assert statistics["steps"] == part.num_steps
        assert statistics["episodes"] == len(whole)
        returns = [sum(reward_of(0, t) for t in range(steps)) for steps in whole]
        assert statistics["return_mean"] == pytest.approx(np.mean(returns))
        assert statistics["actions"] == np.bincount(part.columns["actions"], minlength=7).tolist()  # type: ignore[arg-type]


def test_shares_are_rounded_so_that_they_add_up() -> None:
    assert steps_of_each({"a": 1, "b": 1, "c": 1}, 100) == {"a": 33, "b": 34, "c": 33}
    assert steps_of_each({"a": 0.9, "b": 0.1}, 8192) == {"a": 7373, "b": 819}
    assert sum(steps_of_each({"a": 3, "b": 1e-9, "c": 5}, 7).values()) == 7


def test_the_same_options_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    first = contents(collected(tmp_path / "first"))
    assert contents(collected(tmp_path / "again")) == first
    other = OPTIONS.model_copy(update={"seed": 6})
    assert contents(collected(tmp_path / "other", other)) != first


class Killed(BaseException):
    pass


def killed_after(rounds: int) -> Callable[[int, int], None]:
    calls = []

    def progress(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == rounds:
            raise Killed

    return progress


def test_what_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demos, "_FILE_STEPS", 20)
    told: list[tuple[int, int]] = []
    straight = collected(tmp_path / "straight", progress=lambda *now: told.append(now))
    assert told[-1] == (150, 150)
    assert len(straight.manifest.files) > 4
    for rounds in range(1, len(told) + 1):
        path = tmp_path / str(rounds)
        with pytest.raises(Killed):
            collected(path, progress=killed_after(rounds))
        kept = {file.name: file.stat().st_mtime_ns for file in path.glob("*.arrow")}
        again: list[tuple[int, int]] = []
        dataset = collected(path, progress=lambda *now, again=again: again.append(now))
        assert contents(dataset) == contents(straight)
        assert dataset.manifest.extra == straight.manifest.extra
        # What was acknowledged was neither written nor collected again.
        assert kept == {name: (path / name).stat().st_mtime_ns for name in kept}
        assert again == told[len(told) - len(again) :]
        assert len(again) <= len(told) - rounds + 3


def test_a_file_may_end_within_a_round(tmp_path: Path) -> None:
    straight = collected(tmp_path / "straight")
    batch = straight.load()
    for kept in range(1, batch.num_trajectories, 4):
        path = tmp_path / str(kept)
        info = EnvInfo(id=COUNTING)
        with DatasetWriter(path, spaces=straight.spaces, env=info) as writer:
            writer.append(batch.slice(0, kept))
        assert collected(path).load() == batch


def test_it_stops_on_request_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demos, "_FILE_STEPS", 20)
    straight = collected(tmp_path / "straight")
    stopping = iter([False, False, False, True])
    path = tmp_path / "stopped"
    assert collect_demonstrations(COUNTING, path, OPTIONS, stop_requested=lambda: next(stopping)) is None
    assert list(path.glob("*.arrow"))
    assert not (path / "manifest.json").exists()
    assert contents(collected(path)) == contents(straight)


def test_a_finished_dataset_is_given_back(tmp_path: Path) -> None:
    dataset = collected(tmp_path)
    assert collected(tmp_path, progress=killed_after(1)).manifest == dataset.manifest


@pytest.mark.parametrize("finished", [True, False])
def test_a_dataset_of_other_options_is_left_alone(tmp_path: Path, finished: bool) -> None:
    if finished:
        collected(tmp_path)
    else:
        stop = iter([False] * 3 + [True])
        demos_file_steps, demos._FILE_STEPS = demos._FILE_STEPS, 1
        collect_demonstrations(COUNTING, tmp_path, OPTIONS, stop_requested=lambda: next(stop))
        demos._FILE_STEPS = demos_file_steps
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for change in ({"steps": 151}, {"seed": 1}, {"envs": 2}, {"demonstrators": {"right": 1}}):
        with pytest.raises(RunError, match="other options") as raised:
            collected(tmp_path, OPTIONS.model_copy(update=change))
        assert raised.value.where == str(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_dataset_of_another_environment_is_left_alone(tmp_path: Path) -> None:
    info = EnvInfo(id="Other-v0")
    spaces = spaces_of(EnvSpec(id=COUNTING))
    straight = collected(tmp_path / "straight").load()
    with DatasetWriter(tmp_path / "other", spaces=spaces, env=info) as writer:
        writer.append(straight)
    with pytest.raises(DataError, match="another environment"):
        collected(tmp_path / "other")


def test_an_endless_episode_is_cut(tmp_path: Path) -> None:
    options = CollectOptions(demonstrators={"right": 1}, steps=37, envs=2)
    dataset = collect_demonstrations(f"{HERE}:Endless", tmp_path, options)
    assert dataset is not None
    batch = dataset.load()
    assert batch.lengths.tolist() == [37]
    assert decode(dict(batch.trajectory_columns), "final_obs")[0, 2] == 37
    assert dataset.manifest.extra["demonstrators"]["right"]["return_mean"] is None


def test_a_share_of_nothing_is_empty(tmp_path: Path) -> None:
    options = CollectOptions(demonstrators={"right": 1, "also_right": 1e-9}, steps=30, envs=2)
    batch = collected(tmp_path, options).load()
    assert list(by_name(batch)) == ["right"]
    assert batch.num_steps == 30


@pytest.mark.parametrize(
    ("env", "demonstrators", "error", "message"),
    [
        (COUNTING, {}, ConfigError, "no demonstrator is named"),
        (COUNTING, {"rigt": 1}, ConfigError, "did you mean 'right'"),
        (COUNTING, {"wrong": 1}, DataError, "demonstrator wrong: gave"),
        (f"{HERE}:Doomed", {"right": 1}, EnvError, "doomed"),
        (f"{HERE}:Missing", {"random": 1}, EnvError, "has no 'Missing'"),
        ("CartPol-v1", {"random": 1}, EnvError, "did you mean 'CartPole-v1'"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, env: str, demonstrators: dict[str, float], error: type[Exception], message: str
) -> None:
    options = CollectOptions(demonstrators=demonstrators, steps=10)
    with pytest.raises(error, match=message):
        collect_demonstrations(env, tmp_path / "demos", options)
    assert not list(tmp_path.glob("**/*.arrow"))


def test_collect_takes_plain_arguments(tmp_path: Path) -> None:
    dataset = collect("CartPole-v1", tmp_path / "one", steps=200, env_config={"sutton_barto_reward": True})
    assert dataset.num_steps == 200
    assert dataset.env.config == {"sutton_barto_reward": True}
    assert list(dataset.manifest.extra["demonstrators"]) == ["random"]
    mix = {"least_outstanding": 3, "round_robin": 1}
    dataset = collect(
        "rayrl/Router-v0", tmp_path / "mix", demonstrators=mix, steps=120, env_config={"requests": 16}, envs=4
    )
    assert {name: part.num_steps for name, part in by_name(dataset.load()).items()} == {
        "least_outstanding": 90,
        "round_robin": 30,
    }
    round_robin: Any = by_name(dataset.load())["round_robin"].columns["actions"]
    assert round_robin[:16].tolist() == [0, 1, 2, 3] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps = 0"),
        ({"demonstrators": {"random": -1}}, "demonstrators.random = -1"),
        ({"env_config": {"replicas": -1}}, "replicas = -1"),
        ({"workers": -1}, "workers = -1"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        collect("rayrl/Router-v0", tmp_path, **arguments)
    with pytest.raises(ConfigError, match="has its options already"):
        collect(EnvSpec(id="CartPole-v1"), tmp_path, env_config={})


@pytest.mark.parametrize("kind", ["image", "dict", "text"])
def test_every_kind_of_observation(tmp_path: Path, kind: str) -> None:
    assert isinstance(SPACES[kind], gym.Space)
    spec = EnvSpec(id=f"{HERE}:Any_", config={"kind": kind})
    dataset = collect(spec, tmp_path, demonstrators="random", steps=40)
    batch = dataset.load()
    assert batch.num_steps == 40
    finals = decode(dict(batch.trajectory_columns), "final_obs")
    for (seed, episode, first, steps), final in zip(parts_of(batch), finals.tolist(), strict=True):
        assert final == [seed, episode, first + steps]


class Any_(CountingEnv):  # noqa: N801
    """Takes any action."""

    def step(self, action: Any) -> Any:
        return super().step(action_at(self.seed, self.episode, self.at))
