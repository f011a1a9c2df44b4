"""Two learners over gloo: they do what one would, and none waits for ever."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from ray.rllib.core.learner.learner_group import LearnerGroup

from rayrl.algorithms.actors import update_learners
from rayrl.algorithms.experience_data import ExperienceData
from rayrl.algorithms.ppo import PPOConfig
from rayrl.errors import LearnerTimeoutError, TrainingError
from tests.algorithms.learners import (
    ACTIONS,
    OBSERVATION,
    Dying,
    Hanging,
    InOrder,
    Raising,
    UnionsOfParts,
    assert_same,
    part,
    ppo_config,
    trajectories,
)

pytestmark = pytest.mark.usefixtures("ray_cluster")
OPTIONS = {"num_epochs": 3, "use_kl_loss": True, "normalize_rewards": True, "grad_clip": 0.1, "lr": 0.01}


def config(learner_class, num_learners=0, **training) -> PPOConfig:
    made = ppo_config({"normalize_observations": True}, **OPTIONS | training)
    return made.learners(
        learner_class=learner_class,
        num_learners=num_learners,
        num_cpus_per_learner=0.5 if num_learners else "auto",
    )


def group_of(made: PPOConfig) -> LearnerGroup:
    return made.build_learner_group(spaces={"default_policy": (OBSERVATION, ACTIONS)})


def update(group, batch, timeout_s=60.0):
    return update_learners(
        group, ExperienceData(parts=[part(batch)]), {"num_env_steps_sampled_lifetime": 0}, timeout_s
    )


@pytest.fixture(scope="module")
def pair() -> Iterator[LearnerGroup]:
    group = group_of(config(InOrder, num_learners=2, minibatch_size=12))
    yield group
    group.shutdown()


def states(group):
    return [answer.get() for answer in group.foreach_learner(lambda learner: learner.get_state())]


def compare(pair, single, batches):
    """Both learn from the same batches, from the same weights; what each of them is then."""
    single.set_state({"learner": states(pair)[0]})
    for batch in batches:
        update(pair, batch)
        update(single, batch)
    first, second = states(pair)
    for state in (first, second):
        del state["metrics_logger"]
    assert_same(first, second)
    expected = states(single)[0]
    for name, weights in first["rl_module"]["default_policy"].items():
        np.testing.assert_allclose(
            weights, expected["rl_module"]["default_policy"][name], rtol=1e-5, atol=1e-7, err_msg=name
        )
    for name, value in first["training"].items():
        np.testing.assert_allclose(value, expected["training"][name], rtol=1e-9, err_msg=name)
    return first


def test_uneven_shards_in_the_same_minibatches_learn_what_one_learner_does(pair):
    # 48 rows go to the first learner, 16 to the second; each cuts its own into 4 parts.
    single = group_of(config(UnionsOfParts, minibatch_size=16))
    state = compare(pair, single, [trajectories([48, 16], seed) for seed in range(2)])
    assert state["training"]["reward_moments"][0] == 128
    assert state["rl_module"]["default_policy"]["network.normalizer.count"] == 128


def test_a_shard_without_trajectories(pair):
    compare(pair, group_of(config(InOrder, minibatch_size=12)), [trajectories([48])])


def test_one_minibatch_an_epoch_is_the_same_whatever_the_shards(pair):
    # All rows at once; with few of them each shard is one part.
    single = group_of(config(InOrder, minibatch_size=64))
    compare(pair, single, [trajectories([3, 5, 2]), trajectories([1, 6])])


@pytest.mark.parametrize(
    "held",
    [
        {"kl_ref": {"initial": 0.5, "schedule": "adaptive", "target": 0.01}},
        pytest.param({"kl_ref": {"initial": 0.5, "estimator": "k3"}}, marks=pytest.mark.slow),
        pytest.param({"kl_ref": {"initial": 0.5, "added_to": "reward"}}, marks=pytest.mark.slow),
    ],
    ids=["exact", "k3", "reward"],
)
def test_what_holds_a_policy_is_the_same_whatever_the_shards(held, request):
    # A floor that some minibatches are above, and a target that ends some updates early.
    options = held | {"entropy_min": 0.68, "entropy_min_coeff": 2.0, "target_kl": 0.002, "num_epochs": 8}
    options |= {"use_kl_loss": False, "lr": 0.02}
    made = config(InOrder, num_learners=2, minibatch_size=12, **options)
    alone = config(UnionsOfParts, minibatch_size=16, **options)
    made.validate()
    alone.validate()
    pair, single = group_of(made), group_of(alone)
    request.addfinalizer(pair.shutdown)
    state = next(iter(pair.foreach_learner(lambda learner: learner.policy.get_state()))).get()
    start = {name.removeprefix("network."): value for name, value in state.items()}
    for group in (pair, single):
        list(group.foreach_learner(lambda learner: learner.start_from(start, where="test")))
    for seed in range(3):
        batch = trajectories([48, 16], seed)
        results = [update(group, batch)[0]["default_policy"] for group in (pair, single)]
        told, expected = ({name: value.peek() for name, value in result.items()} for result in results)
        for name in ("kl_ref", "mean_kl_loss", "entropy", "total_loss", "curr_kl_ref_coeff"):
            assert told[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-6), name
        assert told["gradient_steps"] == expected["gradient_steps"]
    assert told["kl_ref"] > 0
    assert told["gradient_steps"] < 8 * 4
    ours, theirs = states(pair), states(single)[0]
    for name, weights in ours[0]["rl_module"]["default_policy"].items():
        expected = theirs["rl_module"]["default_policy"][name]
        np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(weights, ours[1]["rl_module"]["default_policy"][name], err_msg=name)


def test_learners_report_the_same_numbers(pair):
    results = [
        {name: value.peek() for name, value in result["default_policy"].items()}
        for result in update(pair, trajectories([48, 16]))
    ]
    for result in results:
        del result["seconds"]
    steps = [result.pop("num_module_steps_trained") for result in results]
    lifetimes = [result.pop("num_module_steps_trained_lifetime") for result in results]
    assert steps == [48, 16]
    assert sum(lifetimes) == 64
    assert results[0] == results[1]


@pytest.mark.slow
def test_a_learner_that_hangs_is_named():
    group = group_of(config(Hanging, num_learners=2, learner_timeout_s=2.0))
    with pytest.raises(LearnerTimeoutError, match="within 2 s") as raised:
        update(group, trajectories([48, 16]), timeout_s=2.0)
    assert raised.value.where == "learner 1"
    group.shutdown()


def test_a_learner_that_raises_ends_the_update_at_once():
    group = group_of(config(Raising, num_learners=2))
    started = time.monotonic()
    with pytest.raises(TrainingError, match="out of paper") as raised:
        update(group, trajectories([48, 16]), timeout_s=600.0)
    assert time.monotonic() - started < 60
    assert raised.value.where == "learner 1"
    group.shutdown()


@pytest.mark.chaos
def test_a_learner_that_dies_is_named():
    group = group_of(config(Dying, num_learners=2))
    with pytest.raises(TrainingError, match="died") as raised:
        update(group, trajectories([48, 16]), timeout_s=600.0)
    assert raised.value.where == "learner 1"
    group.shutdown()


def pieces(seed, *of):
    """Pieces (episode, first step, steps, whether it is over), with something remembered before each."""
    episodes, first, lengths, over = zip(*of, strict=True)
    rng = np.random.default_rng(seed)
    return trajectories(list(lengths), seed).with_trajectory_columns(
        state=rng.uniform(-1, 1, (len(of), 4)).astype(np.float32),
        episode_id=np.array([[7, episode] for episode in episodes], np.uint64),
        first_step=np.array(first),
        terminated=np.array(over),
        truncated=np.zeros(len(of), np.bool_),
    )


@pytest.mark.slow
def test_sequences_and_what_the_reference_remembers_are_the_same_whatever_the_shards(request):
    memory = {"gru_cell_size": 4, "vf_share_layers": True, "max_seq_len": 3, "burn_in": 2}

    def made(num_learners):
        options = {"num_epochs": 3, "lr": 0.02, "minibatch_size": None, "kl_ref": {"initial": 0.5}}
        made = ppo_config(memory, **options)
        made.learners(num_learners=num_learners, num_cpus_per_learner=0.5 if num_learners else "auto")
        made.validate()
        return group_of(made)

    pair, single = made(2), made(0)
    request.addfinalizer(pair.shutdown)
    state = next(iter(pair.foreach_learner(lambda learner: learner.policy.get_state()))).get()
    start = {name.removeprefix("network."): value for name, value in state.items()}
    for group in (pair, single):
        list(group.foreach_learner(lambda learner: learner.start_from(start, where="test")))
    batches = [
        pieces(0, (1, 0, 8, False), (2, 0, 3, False), (3, 0, 5, True)),
        # Both go on at the other learner, the second one in two pieces.
        pieces(1, (2, 3, 6, False), (1, 8, 2, True), (2, 9, 4, False)),
    ]
    for batch in batches:
        results = [update(group, batch)[0]["default_policy"] for group in (pair, single)]
        told, expected = ({name: value.peek() for name, value in result.items()} for result in results)
        for name in ("kl_ref", "policy_loss", "vf_loss", "total_loss"):
            assert told[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name
    assert told["kl_ref"] > 0
    first, second = states(pair)
    expected = states(single)[0]
    for of in (first, second):
        kept = of["training"]["anchor"]["reference"]["memory"]
        assert kept["keys"].tolist() == [[7, 2, 13]]
        theirs = expected["training"]["anchor"]["reference"]["memory"]["states"]
        np.testing.assert_allclose(kept["states"], theirs, rtol=1e-5)
    for name, weights in first["rl_module"]["default_policy"].items():
        theirs = expected["rl_module"]["default_policy"][name]
        np.testing.assert_allclose(weights, theirs, rtol=1e-4, atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(weights, second["rl_module"]["default_policy"][name], err_msg=name)
