"""What the reference remembers of an episode does not depend on the pieces in which learners see it."""

import numpy as np
import torch
from gymnasium import spaces

from rayrl.algorithms.ppo.reference_memory import ReferenceMemory
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import offsets_of
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.model_config import ModelConfig
from rayrl.models.observed import Observed
from rayrl.models.sequences import evaluate_rows, pack
from tests.algorithms.learners import assert_same

GRU = ModelConfig(fcnet_hiddens=(8,), gru_cell_size=4, vf_share_layers=True)
WHOLE = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 10, 3)).astype(np.float32))


def network(config=GRU):
    torch.manual_seed(0)
    return ActorCriticNetwork(spaces.Box(-9, 9, (3,)), spaces.Discrete(2), config)


def batch_of(*pieces):
    """Pieces (episode, first step, step after the last, whether it is over); their rows of ``WHOLE``."""
    rows = torch.cat([WHOLE[episode, first:stop] for episode, first, stop, _ in pieces])
    over = np.array([ends for *_, ends in pieces])
    return TrajectoryBatch(
        {"obs": rows.numpy()},
        offsets_of(np.array([stop - first for _, first, stop, _ in pieces])),
        {
            "episode_id": np.array([[2**63 + 5, episode] for episode, *_ in pieces], np.uint64),
            "first_step": np.array([first for _, first, *_ in pieces]),
            "terminated": over,
            "truncated": np.zeros_like(over),
        },
    ), Observed({"obs": rows})


def states_by_step(net):
    """(2, 11, 4) what is remembered before each step of both episodes."""
    states = [net.initial_state(2)]
    for step in range(10):
        states.append(net.step({"obs": WHOLE[:, step]}, states[-1])[1])
    return torch.stack(states, 1)


def test_pieces_go_on_where_those_before_them_ended():
    net = network()
    memory, expected = ReferenceMemory(net), states_by_step(net)
    # In one update, in one whose pieces are in the wrong order, and with an update in which one is missing.
    for pieces in (
        [(0, 0, 3, False), (1, 0, 4, False)],
        [(1, 6, 7, False), (1, 4, 6, False)],
        [(0, 3, 10, True), (1, 7, 9, False)],
    ):
        batch, observed = batch_of(*pieces)
        found = memory.states(batch, observed)
        torch.testing.assert_close(found, torch.stack([expected[e, first] for e, first, *_ in pieces]))
        inputs = evaluate_rows(net.policy, observed, batch.offsets, found)
        torch.testing.assert_close(
            inputs[-1:],
            net.step(observed.take(slice(-1, None)), expected[pieces[-1][0], pieces[-1][2] - 1][None])[0],
        )
    state = memory.get_state()
    assert state["keys"].tolist() == [[5 - 2**63, 1, 9]]  # the other one is over
    other = ReferenceMemory(net)
    other.set_state(state)
    assert_same(other.get_state(), state)
    torch.testing.assert_close(other.states(*batch_of((1, 9, 10, False))), expected[1:, 9])


def test_what_nobody_saw_the_beginning_of_begins_from_nothing():
    net = network()
    memory = ReferenceMemory(net)
    assert memory.states(*batch_of((0, 4, 6, False))).eq(0).all()
    after = memory.states(*batch_of((0, 6, 8, False)))
    torch.testing.assert_close(after, net.states({"obs": WHOLE[0, 4:6]}, _one_sequence(net, 2))[-1:])


def _one_sequence(net, length):
    return pack(np.array([0]), np.array([length])).sequences(net.initial_state(1))


def test_nothing_is_kept_of_a_reference_that_remembers_nothing():
    memory = ReferenceMemory(network(ModelConfig(fcnet_hiddens=(8,))))
    assert memory.states(*batch_of((0, 0, 3, False))).shape == (1, 0)
    assert len(memory.get_state()["keys"]) == 0
