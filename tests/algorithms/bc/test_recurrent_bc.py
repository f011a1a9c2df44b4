"""Cloning by a policy that remembers: sequences of episodes, a burn-in, and what is measured."""

import numpy as np
import pytest
import torch

from rayrl.algorithms.bc.agreement import agreements
from rayrl.algorithms.bc.data import DemonstrationData
from rayrl.algorithms.shuffling import sequences_of
from rayrl.algorithms.warm_start import warm_start
from rayrl.envs.spec import EnvSpec
from rayrl.evaluation.evaluator import evaluate
from rayrl.evaluation.result import RETURN
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import TRAJECTORY_COLUMNS
from rayrl.experience.dataset import EnvInfo, open_dataset
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.ragged import offsets_of
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_folder import load_policy, save_policy
from rayrl.storage.spaces import Spaces
from tests.algorithms.bc.test_bc import config, epochs, group_of
from tests.algorithms.learners import assert_same
from tests.algorithms.ppo.test_recurrent_ppo import recall_ppo
from tests.algorithms.recall_env import CUES, Recall

RECALL = EnvSpec(id="tests.algorithms.recall_env:Recall")
LENGTH = Recall().steps
GRU = {"gru_cell_size": 16, "vf_share_layers": True, "max_seq_len": 3, "burn_in": 3}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Episodes in which the cue's action is taken from the first step to the last."""
    path, rng, env = tmp_path_factory.mktemp("recall") / "demos", np.random.default_rng(0), Recall()
    episodes = 60
    observations, actions = [], []
    for _ in range(episodes):
        x, over = env.reset(seed=int(rng.integers(2**31)))[0], False
        while not over:
            observations.append(x)
            actions.append(env.cue)
            x, _, over, _, _ = env.step(env.cue)
    rows = episodes * LENGTH
    own = {
        name: np.zeros((episodes, *spec.shape), spec.dtype)
        for name, spec in TRAJECTORY_COLUMNS.items()
        if spec.kind == "array"
    } | {
        "episode_id": np.stack([np.zeros(episodes), np.arange(episodes)], 1).astype(np.uint64),
        "terminated": np.ones(episodes, np.bool_),
        "final_obs": np.zeros((episodes, CUES + 1), np.float32),
    }
    columns = {
        "obs": np.stack(observations),
        "actions": np.array(actions),
        "rewards": np.ones(rows, np.float32),
    }
    batch = TrajectoryBatch(columns, offsets_of(np.full(episodes, LENGTH)), own)
    spaces = Spaces(env.observation_space, env.action_space)
    with DatasetWriter(path, spaces=spaces, env=EnvInfo(id=RECALL.id)) as writer:
        writer.append(batch)
        writer.finish()
    return path


def test_it_clones_what_a_policy_without_memory_cannot_and_ppo_goes_on_from_it(
    dataset, tmp_path, ray_cluster
):
    group, results = epochs(config(dataset, GRU), 12)
    _, plain = epochs(config(dataset), 12)
    assert results[-1]["val_accuracy"] == results[-1]["train_accuracy"] == 1
    # In the first step it sees the cue; in the others it may guess one of three.
    assert plain[-1]["val_accuracy"] < (1 + (LENGTH - 1) / CUES) / LENGTH + 0.15

    network = group._learner.policy.network
    save_policy(tmp_path / "policy", network, architecture="gru", provenance={})
    policy = load_policy(tmp_path / "policy")
    found = agreements(policy.network, open_dataset(dataset).load())
    assert found["all"] == {"steps": 60 * LENGTH, "value": 1.0}
    # Whoever plays beside it, and although slots go on after their episodes.
    for num_envs in (1, 4):
        assert evaluate(policy, RECALL, episodes=9, num_envs=num_envs).values(RETURN).tolist() == [1] * 9

    algorithm = recall_ppo({**GRU, "fcnet_hiddens": [16]}, kl_ref={"initial": 1.0}).build_algo()
    try:
        warm_start(algorithm, policy, where="test")
        result = algorithm.train()
        assert result["env_runners"]["episode_return_mean"] > 0.9
        learned = result["learners"]["default_policy"]
        assert 0 < learned["kl_ref"] < 0.1
    finally:
        algorithm.stop()


def test_a_sequence_that_begins_within_an_episode_knows_of_it_by_its_burn_in(dataset):
    learner = group_of(made := config(dataset, GRU | {"burn_in": 1}))._learner
    columns = learner._read(made.dataset).columns
    table, network = learner._sequences, learner.policy.network
    assert table.starts[:2].tolist() == [0, 3]
    assert table.lengths[:2].tolist() == [3, 2]
    assert not table.states.any()
    shuffled = learner.shuffled(columns, 10**9, table)
    ((minibatch, _),) = shuffled.epoch(np.arange(shuffled.units))
    sequences = sequences_of(minibatch)
    _, expected = network.step({"obs": columns["obs"][2:3]}, network.initial_state(1))
    second = shuffled.units // 2  # the sequences of 3 rows come first
    torch.testing.assert_close(sequences.state[second], expected[0].detach())
    assert not sequences.state[0].any()


def test_what_is_measured_is_what_the_policy_does_in_whole_episodes(dataset):
    made = config(dataset, GRU, lr=1e-9, fit_all=True)
    group, (results,) = epochs(made, 1)
    batch, network = open_dataset(dataset).load(), group._learner.policy.network
    nll, agreed, state = [], [], network.initial_state(60)
    x, actions = batch.columns["obs"].reshape(60, LENGTH, -1), batch.columns["actions"].reshape(60, LENGTH)
    for t in range(LENGTH):
        inputs, state = network.step({"obs": torch.from_numpy(x[:, t].copy())}, state)
        shown = torch.from_numpy(actions[:, t].copy())
        nll.append(-network.distribution.logp(inputs, shown).detach())
        agreed.append((inputs.argmax(-1) == shown).float())
    # The loss of training is of sequences, of which the second begins with a burn-in that has seen all.
    assert results["train_loss"] == pytest.approx(torch.cat(nll).mean().item(), rel=1e-4)
    assert results["train_accuracy"] == pytest.approx(torch.cat(agreed).mean().item())


def test_input_noise_schedule_weights_and_a_restored_state(dataset):
    options = {"input_noise": 0.1, "lr_schedule": "cosine", "balance": ("action",), "label_smoothing": 0.1}
    made = config(dataset, GRU | {"normalize_observations": True}, **options)
    whole, _ = epochs(made, 2)
    learner = whole._learner
    steps = learner._steps_an_epoch
    assert steps == round(len(learner._train.columns["actions"]) / 64)
    state = whole.get_state()
    first = _next(whole, made)
    other = group_of(made)
    other.set_state(state)
    assert_same(_next(other, made), first)


def _next(group, made):
    group.update(
        training_data=DemonstrationData(path=made.dataset), timesteps={"num_env_steps_sampled_lifetime": 0}
    )
    return {name: x.numpy(force=True).copy() for name, x in group._learner.policy.state_dict().items()}


def test_agreement_does_not_depend_on_the_order_of_the_episodes(dataset):
    batch = open_dataset(dataset).load()
    network = ActorCriticNetwork(
        Recall().observation_space,
        Recall().action_space,
        ModelConfig(fcnet_hiddens=(8,), gru_cell_size=4, vf_share_layers=True),
    )
    halves = TrajectoryBatch.concat([batch.slice(30, 60), batch.slice(0, 30)])
    assert agreements(network, batch)["all"] == pytest.approx(agreements(network, halves)["all"])
