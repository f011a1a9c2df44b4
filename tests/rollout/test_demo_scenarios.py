"""Demonstrations in scenarios and by policies: shares, parity with training, resuming, and what is wrong."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rayrl.config.seeding import Role
from rayrl.envs.demonstrators import register_demonstrator
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, DataError, PolicyError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import Source
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import MLPBaseline
from rayrl.models.policy_folder import load_policy, save_policy
from rayrl.rollout import demos
from rayrl.rollout.demo_plan import plan_demonstrations, spaces_of
from rayrl.rollout.demos import collect, collect_demonstrations
from rayrl.rollout.options import CollectOptions
from rayrl.rollout.origin import Origin
from rayrl.rollout.vector_env import make_vector_env
from rayrl.storage.hashing import sha256_json
from tests.rollout.test_demos import Killed, contents, killed_after

HERE = "tests.rollout.test_demo_scenarios"
ROUTER = EnvSpec.parse({"id": "rayrl/Router-v0", "config": {"requests": 16, "replicas": 3}}, where="env")
OPTIONS = {
    "demonstrators": {"round_robin": 1, "least_outstanding": 1},
    "scenarios": {
        "half_load": 0.25,
        "lost_replica": 0.25,
        "calm": {"share": 0.1, "env_config": {"metrics_window_s": 9.0}},
    },
    "steps": 800,
    "envs": 2,
}  # fmt: skip


class Raises:
    def __init__(self, *, seed: int) -> None:
        self.calls = 0

    def act(self, env: Any, observations: Any) -> Any:
        self.calls += 1
        if self.calls > 3:
            raise KeyError("no such shelf")
        return np.zeros(env.num_envs, np.int64)

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: Any) -> None:
        pass


class CannotBeMade(Raises):
    def __init__(self, *, seed: int) -> None:
        raise RuntimeError("no license")


def parse(**changes: Any) -> CollectOptions:
    return CollectOptions.parse(OPTIONS | changes, where="collect")


def texts(batch: TrajectoryBatch, name: str) -> list[str]:
    column: Any = batch.trajectory_columns[name]
    texts: list[str] = column.to_text()
    return texts


@pytest.fixture
def policy_of(tmp_path: Path):
    def save(env: EnvSpec, **options: Any) -> Path:
        spaces = spaces_of(env)
        network = ActorCriticNetwork(
            spaces.observation, spaces.action, MLPBaseline(fcnet_hiddens=(8,), **options)
        )
        save_policy(tmp_path / "policy", network, architecture="mlp_baseline", provenance={})
        return tmp_path / "policy"

    return save


def test_every_demonstrator_has_its_part_of_every_scenario(tmp_path: Path) -> None:
    dataset = collect_demonstrations(ROUTER, tmp_path, parse())
    assert dataset is not None
    batch = dataset.load()
    steps: dict[tuple[str, str], int] = {}
    for name, scenario, length in zip(
        texts(batch, "demonstrator"), texts(batch, "scenario"), batch.lengths.tolist(), strict=True
    ):
        steps[name, scenario] = steps.get((name, scenario), 0) + length
    # 400 steps each: a quarter, a quarter, a tenth, and the rest as trained.
    of_each = {"as_trained": 160, "half_load": 100, "lost_replica": 100, "calm": 40}
    assert steps == {(n, s): k for n in ("round_robin", "least_outstanding") for s, k in of_each.items()}
    facts = dataset.manifest.extra["demonstrators"]["round_robin"]
    assert {name: part["steps"] for name, part in facts["scenarios"].items()} == of_each
    assert facts["steps"] == sum(facts["actions"]) == 400
    # 10 and 6, 6, 2 whole episodes of 16 steps.
    assert facts["episodes"] == 10 + 6 + 6 + 2
    told = dataset.manifest.extra["scenarios"]
    assert told["calm"][0]["metrics_window_s"] == 9.0
    assert len(told["lost_replica"]) == 3


def test_variants_take_turns(tmp_path: Path) -> None:
    env = EnvSpec.parse({"id": ROUTER.id, "config": {"requests": 128, "replicas": 3}}, where="env")
    options = parse(demonstrators={"least_outstanding": 1}, scenarios={"lost_replica": 1.0}, steps=6 * 128)
    dataset = collect_demonstrations(env, tmp_path, options)
    assert dataset is not None
    batch = dataset.load()
    actions: Any = batch.columns["actions"]
    own = [
        np.bincount(actions[first:last], minlength=3)
        for first, last in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    ]
    # The lost one gets the fewest requests, and it is another one from episode to episode.
    fewest = [int(np.argmin(own[k] + own[k + 3])) for k in range(3)]
    assert fewest == [0, 1, 2]


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demos, "_FILE_STEPS", 60)
    options = parse()
    told: list[int] = []
    straight = collect_demonstrations(
        ROUTER, tmp_path / "straight", options, progress=lambda done, _: told.append(done)
    )
    assert straight is not None
    for rounds in range(1, len(told), 5):
        path = tmp_path / str(rounds)
        with pytest.raises(Killed):
            collect_demonstrations(ROUTER, path, options, progress=killed_after(rounds))
        again = collect_demonstrations(ROUTER, path, options)
        assert again is not None
        assert contents(again) == contents(straight)
        assert again.manifest.extra == straight.manifest.extra


def test_a_demonstration_observes_what_training_would(tmp_path: Path) -> None:
    """Replayed in the environment of the training, from the same seeds, its actions bring the same."""
    dataset = collect("rayrl/Router-v0", tmp_path, demonstrators="round_robin", steps=64, envs=2,
                      env_config={"requests": 16, "replicas": 3}, seed=4)  # fmt: skip
    batch = dataset.load()
    run = sha256_json(dataset.manifest.extra["made_of"])
    origin = Origin(run, 4, 0, Role.demonstration, Source.demo)
    env = make_vector_env(ROUTER.id, ROUTER.config, 2)
    columns: Any = batch.columns
    for number in range(2):
        observation, _ = env.reset(seed=origin.reset_seed(0, number, 0))
        rows = [np.arange(batch.offsets[2 * number + i], batch.offsets[2 * number + i + 1]) for i in (0, 1)]
        for t in range(16):
            at = [rows[0][t], rows[1][t]]
            np.testing.assert_array_equal(columns["obs"][at], observation)
            observation, reward, *_ = env.step(columns["actions"][at])
            np.testing.assert_array_equal(columns["rewards"][at], reward.astype(np.float32))


def test_a_policy_demonstrates_its_own_actions(tmp_path: Path, policy_of: Any) -> None:
    folder = policy_of(ROUTER)
    mix = {"teacher": {"policy": str(folder), "share": 3}, "random": 1}
    dataset = collect(ROUTER, tmp_path / "demos", demonstrators=mix, steps=128, envs=2)
    batch = dataset.load()
    names = np.array(texts(batch, "demonstrator"))[batch.trajectory_of_row()]
    assert (names == "teacher").sum() == 96
    columns: Any = batch.columns
    expected = load_policy(folder).act(columns["obs"][names == "teacher"])
    np.testing.assert_array_equal(columns["actions"][names == "teacher"], expected)
    assert not {"action_logp", "action_dist_inputs"} & set(batch.columns)
    collected = dataset.manifest.extra["made_of"]["collect"]["demonstrators"]["teacher"]
    assert set(collected) == {"share", "deterministic", "weights_sha256"}


def test_a_sampling_policy_gives_the_same_bytes_again(tmp_path: Path, policy_of: Any) -> None:
    mix = {"teacher": {"policy": str(policy_of(ROUTER)), "deterministic": False}}
    first, again = (collect(ROUTER, tmp_path / name, demonstrators=mix, steps=64) for name in "ab")
    assert contents(first) == contents(again)
    actions: Any = first.load().columns["actions"]
    assert len(np.unique(actions)) == 3


def test_a_policy_acts_in_a_box_in_the_environments_units(tmp_path: Path, policy_of: Any) -> None:
    pendulum = EnvSpec(id="Pendulum-v1")
    mix = {"swing": {"policy": str(policy_of(pendulum)), "deterministic": False}}
    dataset = collect(pendulum, tmp_path / "demos", demonstrators=mix, steps=40, envs=2)
    actions: Any = dataset.load().columns["actions"]
    space = spaces_of(pendulum).action
    assert isinstance(space, gym.spaces.Box)
    assert all(space.contains(action) for action in actions)
    assert np.abs(actions).max() > 1.0  # bounds are ±2, the policy's units ±1


def test_the_environments_own_mix_where_nobody_is_named(tmp_path: Path) -> None:
    dataset = collect_demonstrations(ROUTER, tmp_path, CollectOptions(steps=96, envs=2))
    assert dataset is not None
    facts = dataset.manifest.extra["demonstrators"]
    assert {name: each["steps"] for name, each in facts.items()} == {
        "round_robin": 32,
        "least_outstanding": 32,
        "random": 32,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenarios": {"half_load": 0.7, "bursts": 0.4}}, "add up to 1.1, more than 1"),
        ({"scenarios": {"half_load": 0}}, "scenarios.half_load = 0: must be a share of the steps in"),
        ({"scenarios": {"half_load": {"share": 0.1}}}, "scenarios.half_load.env_config: required"),
        ({"scenarios": {"as_trained": 0.1}}, "as_trained is the name of what the scenarios leave"),
        ({"scenarios": {"../x": 0.1}}, "is no name"),
        ({"demonstrators": {"a": {"polcy": "."}}}, "demonstrators.a.polcy: unknown key; did you mean"),
        ({"demonstrators": {"a": {"policy": "/none"}}}, "there is no such file or folder: /none"),
        ({"demonstrators": {"random": True}}, "demonstrators.random = True: must be a share"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(**changes)


def test_what_does_not_fit_is_said_before_anything_is_collected(tmp_path: Path, policy_of: Any) -> None:
    other = policy_of(EnvSpec(id="CartPole-v1"))
    with pytest.raises(
        PolicyError, match=r"for other spaces than those of rayrl/Router-v0: observation: .*shape"
    ):
        plan_demonstrations(ROUTER, parse(demonstrators={"teacher": {"policy": str(other)}}))
    with pytest.raises(ConfigError, match="'random' is a demonstrator of rayrl/Router-v0 already"):
        plan_demonstrations(ROUTER, parse(demonstrators={"random": {"policy": str(other)}}))
    wide = {"wide": {"share": 0.1, "env_config": {"replicas": 5}}}
    with pytest.raises(
        ConfigError, match=r"collect.scenarios.wide: its spaces are not those of the training"
    ):
        plan_demonstrations(ROUTER, parse(scenarios=wide))


@pytest.mark.usefixtures("own_demonstrators")
def test_a_demonstrator_that_raises_is_named_and_what_was_collected_stays(tmp_path: Path) -> None:
    register_demonstrator("CartPole-v1", "raises", f"{HERE}:Raises")
    register_demonstrator("CartPole-v1", "cannot_be_made", f"{HERE}:CannotBeMade")
    register_demonstrator("CartPole-v1", "nowhere", "no.such.module:Demonstrator")
    with pytest.raises(DataError, match=r"demonstrator raises: raised:\n(.|\n)*KeyError: 'no such shelf'"):
        collect("CartPole-v1", tmp_path / "a", demonstrators="raises", steps=64)
    with pytest.raises(DataError, match="cannot be made: RuntimeError: no license"):
        collect("CartPole-v1", tmp_path / "b", demonstrators="cannot_be_made", steps=64)
    with pytest.raises(DataError, match="cannot be made: ModuleNotFoundError"):
        collect("CartPole-v1", tmp_path / "c", demonstrators="nowhere", steps=64)
