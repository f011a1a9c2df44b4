"""PPO of a policy that remembers: what it learns from, what it can learn, and where it goes on."""

import numpy as np
import pytest
import torch
from ray.tune import register_env

from rayrl.algorithms.ppo import PPOConfig
from rayrl.algorithms.shuffling import sequences_of
from rayrl.evaluation.evaluator import evaluate
from rayrl.evaluation.result import RETURN
from rayrl.models.policy import Policy
from rayrl.models.weights import LoadReport
from tests.algorithms.algorithms import held_ppo, metrics_of, next_batches, start, state_of
from tests.algorithms.learners import FirstRatios, assert_same, build, ppo_config, trajectories, update
from tests.algorithms.recall_env import CUES, make_recall

pytestmark = pytest.mark.usefixtures("ray_cluster")
GRU = {"gru_cell_size": 6, "vf_share_layers": True, "max_seq_len": 4, "burn_in": 2}
RECALL = "tests.algorithms.recall_env:Recall"


def pieces(lengths, seed=0):
    """Trajectories that begin with something remembered."""
    batch = trajectories(lengths, seed)
    states = np.random.default_rng(seed).uniform(-1, 1, (len(lengths), 6)).astype(np.float32)
    return batch.with_trajectory_columns(state=states)


def test_values_and_sequences_follow_what_the_collector_remembered():
    learner = build(ppo_config(GRU, lambda_=1.0, gamma=1.0))
    network, batch = learner.policy.network, pieces([5, 9])
    columns = learner.prepare(batch)
    values, states = [], []
    for i, (first, stop) in enumerate([(0, 5), (5, 14)]):
        state = torch.from_numpy(batch.trajectory_columns["state"][i : i + 1])
        rows = [*batch.columns["obs"][first:stop], batch.trajectory_columns["final_obs"][i]]
        for x in rows:
            states.append(state)
            _, state = network.step({"obs": torch.from_numpy(x[None])}, state)
            # The value reads the same memory as the policy.
            values.append(network.value_of(state))
    values, states = torch.cat(values).detach().numpy(), torch.cat(states).detach()
    # G_t = r_t + ... + r_T + V(final), of the second trajectory alone, since the first terminates.
    rewards = batch.columns["rewards"]
    expected = [rewards[t:5].sum() for t in range(5)] + [rewards[t:].sum() + values[15] for t in range(5, 14)]
    np.testing.assert_allclose(columns["value_targets"], expected, rtol=1e-4, atol=1e-5)
    table = learner._sequences
    assert table.starts.tolist() == [0, 4, 5, 9, 13]
    assert table.burn_ins.tolist() == [0, 2, 0, 2, 2]
    # Before rows 0, 2, 5, 7 and 11; the final observation of the first trajectory stands between.
    torch.testing.assert_close(table.states, states[[0, 2, 6, 8, 12]])


def test_every_row_is_learned_from_once_an_epoch_in_whole_sequences():
    learner = build(ppo_config(GRU, num_epochs=2, minibatch_size=8))
    seen = []

    def loss(minibatch, loss=learner.loss):
        assert len(minibatch["obs"]) == int(sequences_of(minibatch).batch_sizes.sum())
        seen.append(minibatch["obs"])
        return loss(minibatch)

    learner.loss = loss
    batch = pieces([5, 9, 12, 6])
    results = update(learner, batch)
    assert results["gradient_steps"] == len(seen) == 8
    rows = np.sort(torch.cat(seen).numpy(), axis=0)
    np.testing.assert_array_equal(rows, np.sort(np.tile(batch.columns["obs"], (2, 1)), axis=0))


def test_the_gradient_is_that_of_single_steps():
    learner = build(ppo_config(GRU | {"max_seq_len": 20, "burn_in": 0}, minibatch_size=None, num_epochs=1))
    batch = pieces([5, 9])
    columns = learner.prepare(batch)
    ((minibatch, total),) = learner.shuffled(columns, None, learner._sequences).epoch(np.arange(2))
    assert total == 14
    loss, _ = learner.loss(minibatch)
    names = dict(learner.policy.network.named_parameters())
    expected = torch.autograd.grad(loss, list(names.values()))

    inputs, values = [], []
    for i, (first, stop) in enumerate([(0, 5), (5, 14)]):
        state = torch.from_numpy(batch.trajectory_columns["state"][i : i + 1])
        for row in range(first, stop):
            given, state = learner.policy.network.step({"obs": columns["obs"][row : row + 1]}, state)
            inputs.append(given)
            values.append(learner.policy.network.value_of(state))
    learner.policy.network.policy_and_value = lambda parts, sequences: (torch.cat(inputs), torch.cat(values))
    by_step, _ = learner.loss(columns)
    torch.testing.assert_close(by_step, loss)
    for name, a, b in zip(names, torch.autograd.grad(by_step, list(names.values())), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)


def recall_ppo(model, **training):
    register_env("recall", make_recall)
    return (
        PPOConfig()
        .environment("recall")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=8)
        .rl_module(model_config={"fcnet_hiddens": [32], **model})
        .training(
            **{
                "train_batch_size_per_learner": 512,
                "minibatch_size": 128,
                "num_epochs": 6,
                "lr": 0.005,
                "gamma": 0.9,
                **training,
            }
        )
    )


@pytest.fixture
def make():
    """Builds algorithms, and ends them with the test."""
    built = []

    def of(config):
        built.append(config.build_algo())
        return built[-1]

    yield of
    for algorithm in built:
        algorithm.stop()


def returns(algorithm):
    policy = Policy(
        algorithm.learner_module().network,
        architecture="gru",
        provenance={},
        report=LoadReport((), (), (), ()),
    )
    return evaluate(policy, RECALL, episodes=60, num_envs=7).values(RETURN)


def best_return(algorithm, iterations=28):
    """The best mean return of the policy as it stands after every fourth iteration.

    The last one would not do: how such a policy goes up and down depends on the last bits of its sums, and
    so on the processor.
    """
    best = 0.0
    for i in range(1, iterations + 1):
        algorithm.train()
        if i % 4 == 0:
            best = max(best, returns(algorithm).mean())
        if best > 0.95:
            break
    return best


def test_it_learns_to_recall_what_a_policy_without_memory_cannot(make):
    # Whatever a policy without memory does, it is right in one of three cases; four standard deviations.
    assert best_return(make(recall_ppo({}, entropy_coeff=0.01)), 16) < 1 / CUES + 0.25
    assert best_return(make(recall_ppo(GRU | {"gru_cell_size": 32}, entropy_coeff=0.01))) > 0.95


def test_ratios_start_at_one(make):
    config = recall_ppo({**GRU, "burn_in": 0}).learners(learner_class=FirstRatios)
    algorithm = make(config)
    for _ in range(3):
        algorithm.train()
    # But for rows that are left for the next batch, whose policy is newer than the one that drew them.
    np.testing.assert_allclose(algorithm.learner_group._learner.first_ratios, 1, atol=1e-4)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_it_goes_on_where_it_was_saved(make, tmp_path, workers):
    def config():
        return held_ppo(workers, train_batch_size_per_learner=100).rl_module(
            model_config={"fcnet_hiddens": [8], "normalize_observations": True, **GRU}
        )

    whole = make(config())
    start(whole)
    metrics = [metrics_of(whole.train()) for _ in range(2)]
    assert metrics[1]["learners"]["default_policy"]["kl_ref"] > 0
    whole.save_to_path(tmp_path)
    expected = [metrics_of(whole.train()) for _ in range(2)]
    state = state_of(whole)
    parts = state["workers"]["workers"].values()
    memories = [part["collector"]["memory"] for part in parts if "collector" in part]
    assert [memory.shape for memory in memories] == [(3, 6)] * max(1, workers)
    assert all(memory.any() for memory in memories)
    assert len(state["learner_group"]["learner"]["training"]["anchor"]["reference"]["memory"]["keys"]) > 0

    other = make(config())
    other.restore_from_path(tmp_path)
    assert_same([metrics_of(other.train()) for _ in range(2)], expected)
    assert_same(state_of(other), state)

    whole.restore_from_path(tmp_path)
    assert_same([metrics_of(whole.train()) for _ in range(2)], expected)
    assert_same(state_of(whole), state)
    assert next_batches(whole) == next_batches(other)
    assert whole.exact
    assert other.exact
