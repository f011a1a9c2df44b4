import gymnasium as gym
import numpy as np
import pytest
import torch

from rayrl.config.seeding import Role, environment_seed
from rayrl.envs.demonstrators import make_demonstrator
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, EnvError, PolicyError
from rayrl.evaluation.environment import episode_seed, make_evaluation_env
from rayrl.evaluation.evaluator import evaluate
from rayrl.evaluation.result import LENGTH, RETURN, SUCCESS
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_folder import load_policy, save_policy
from tests.evaluation import walk
from tests.evaluation.walk import Ones, play_single

VECTORIZATIONS = [
    None,
    walk.WalkVector,
    walk.SameStepWalkVector,
    walk.NoResetWalkVector,
    walk.OneSeedWalkVector,
    walk.DriftingWalkVector,
]


@pytest.fixture
def register():
    """Registers a walk with a vectorization of its own, or without one; returns the id."""
    names = []

    def add(vectorization=None):
        name = f"Walk{len(names)}-v0"
        gym.register(name, entry_point=walk.Walk, vector_entry_point=vectorization)
        names.append(name)
        return name

    yield add
    for name in names:
        del gym.registry[name]


@pytest.mark.parametrize("vectorization", VECTORIZATIONS)
@pytest.mark.parametrize("num_envs", [1, 3, 7])
def test_episode_i_is_the_single_environments_episode_of_seed_i(register, vectorization, num_envs):
    result = evaluate(Ones, register(vectorization), episodes=7, seed=5, num_envs=num_envs)
    seeds = [environment_seed(5, Role.evaluation, iteration=i) for i in range(7)]
    assert result.seeds == tuple(seeds)
    played = [play_single(seed) for seed in seeds]
    np.testing.assert_allclose(result.values(RETURN), [total for total, _, _ in played], rtol=1e-12)
    assert result.metrics[LENGTH] == tuple(steps for _, steps, _ in played)
    assert result.metrics["elapsed"] == result.metrics[LENGTH]
    assert result.metrics["distance"] == tuple(info["distance"] for _, _, info in played)
    assert result.metrics[SUCCESS] == tuple(float(info["is_success"]) for _, _, info in played)
    assert result.metrics["long"] == tuple(info.get("long") for _, _, info in played)
    assert {None, 1.5} == set(result.metrics["long"])
    assert not {"name", "more", "is_success"} & result.metrics.keys()


@pytest.mark.parametrize(
    ("vectorization", "used"),
    [
        (walk.WalkVector, True),
        (walk.NoResetWalkVector, True),
        (walk.OneSeedWalkVector, False),
        (walk.DriftingWalkVector, False),
    ],
)
def test_a_vectorization_is_used_only_where_its_slots_play_as_single_environments(
    register, vectorization, used
):
    env = make_evaluation_env(EnvSpec(id=register(vectorization)), 2)
    assert isinstance(env, vectorization) == used


def test_the_vectorizations_of_router_and_cartpole():
    assert type(make_evaluation_env(EnvSpec(id="rayrl/Router-v0"), 2)).__name__ == "RouterVectorEnv"
    assert type(make_evaluation_env(EnvSpec(id="CartPole-v1"), 2)).__name__ == "SyncVectorEnv"


@pytest.mark.parametrize("vectorization", [None, walk.WalkVector, walk.SameStepWalkVector])
def test_an_episode_is_cut_at_max_steps(register, vectorization):
    result = evaluate(Ones, register(vectorization), episodes=6, max_steps=4, num_envs=2)
    played = [play_single(seed, max_steps=4) for seed in result.seeds]
    np.testing.assert_allclose(result.values(RETURN), [total for total, _, _ in played], rtol=1e-12)
    assert {3.0, 4.0} == set(result.metrics[LENGTH])
    assert result.metrics["elapsed"] == result.metrics[LENGTH]
    assert result.metrics["distance"] == tuple(info.get("distance") for _, _, info in played)


def test_actors_on_the_same_seeds_meet_the_same_episodes(register):
    name = register()
    ones, random = (evaluate(actor, name, episodes=5, seed=3) for actor in (Ones, "random"))
    assert ones.seeds == random.seeds
    assert ones.metrics[LENGTH] == random.metrics[LENGTH]
    assert ones.metrics[RETURN] != random.metrics[RETURN]
    assert evaluate(Ones, name, episodes=5, seed=4).metrics[LENGTH] != ones.metrics[LENGTH]


def test_progress_counts_finished_episodes(register):
    told = []
    evaluate(
        Ones, register(), episodes=5, num_envs=2, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_an_environment_that_raises_is_named():
    spec = EnvSpec(id="tests.evaluation.walk:Walk", config={"raise_at": 2})
    with pytest.raises(
        EnvError, match=r"tests\.evaluation\.walk:Walk: 1 of 1 episodes .* ValueError: the walk is closed"
    ):
        evaluate(Ones, spec, episodes=1)


@pytest.mark.parametrize("option", ["episodes", "num_envs", "max_steps"])
def test_counts_are_at_least_one(option):
    with pytest.raises(ConfigError, match=f"{option} = 0"):
        evaluate(Ones, "CartPole-v1", **{option: 0})


SMALL = {"requests": 24, "replicas": 2}


def test_the_router_is_evaluated_on_its_evaluation_split_as_the_single_environment_plays_it():
    spec = EnvSpec(id="rayrl/Router-v0", config=SMALL)
    result = evaluate("round_robin", spec, episodes=3, num_envs=2)
    assert spec.config["split"] == "train"
    assert result.env.config["split"] == "eval"
    env = gym.make("rayrl/Router-v0", **SMALL, split="eval")
    for i, seed in enumerate(result.seeds):
        env.reset(seed=seed)
        rewards, infos = zip(
            *[(step[1], step[4]) for step in (env.step(t % 2) for t in range(24))], strict=True
        )
        assert result.metrics[RETURN][i] == pytest.approx(sum(rewards), rel=1e-12)
        assert {name: result.metrics[name][i] for name in infos[-1]} == infos[-1]
    trained_on = evaluate("round_robin", spec, episodes=3, env_config={"split": "train"})
    assert trained_on.metrics[RETURN] != result.metrics[RETURN]


def test_options_of_the_evaluation_are_checked():
    with pytest.raises(ConfigError, match="replicaz"):
        evaluate("random", "rayrl/Router-v0", env_config={"replicaz": 2})


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    env = gym.make("CartPole-v1")
    network = ActorCriticNetwork(env.observation_space, env.action_space, ModelConfig(fcnet_hiddens=(8,)))
    save_policy(tmp_path / "policy", network, architecture="mlp_baseline", provenance={"seed": 7})
    return tmp_path / "policy"


def test_a_policy_is_evaluated_from_its_folder_or_as_an_object(folder):
    results = [
        evaluate(policy, "CartPole-v1", episodes=4) for policy in (folder, str(folder), load_policy(folder))
    ]
    assert results[0] == results[1] == results[2]
    actor = results[0].actor
    assert (actor.kind, actor.name, actor.provenance) == ("policy", "mlp_baseline", {"seed": 7})
    assert actor.weights_sha256 == _recorded_digest(folder)
    policy = load_policy(folder)
    env = gym.make("CartPole-v1")
    observation, _ = env.reset(seed=episode_seed(0, 2))
    steps, over = 0, False
    while not over:
        observation, _, terminated, truncated, _ = env.step(policy.act(observation))
        steps, over = steps + 1, terminated or truncated
    assert results[0].metrics[LENGTH][2] == steps


def _recorded_digest(folder):
    from rayrl.models.policy_folder import read_description

    return read_description(folder).weights_sha256


def test_sampled_actions_are_the_same_each_time(folder):
    first, again = (evaluate(folder, "CartPole-v1", episodes=4, deterministic=False) for _ in range(2))
    assert first == again
    assert first.actor.deterministic is False
    assert first.metrics != evaluate(folder, "CartPole-v1", episodes=4).metrics


def test_a_policy_of_other_spaces_is_refused_by_the_difference(folder):
    with pytest.raises(PolicyError, match=r"observation: shape \[4\] against \[6\].*action: n 2 against 3"):
        evaluate(folder, "Acrobot-v1", episodes=1)


@pytest.mark.parametrize(
    ("name", "hint"), [("least_outstandin", "least_outstanding"), ("/nowhere", "known: ")]
)
def test_an_unknown_actor_is_refused_with_what_is_known(name, hint):
    with pytest.raises(PolicyError, match=hint):
        evaluate(name, "rayrl/Router-v0")


def test_demonstrators_are_known_by_name():
    result = evaluate("least_outstanding", EnvSpec(id="rayrl/Router-v0", config=SMALL), episodes=1)
    assert (result.actor.kind, result.actor.name) == ("demonstrator", "least_outstanding")

    def factory(*, seed):
        return make_demonstrator("rayrl/Router-v0", "least_outstanding", seed=seed)

    given = evaluate(factory, EnvSpec(id="rayrl/Router-v0", config=SMALL), episodes=1)
    assert given.actor.name == "factory"
    assert given.metrics == result.metrics
