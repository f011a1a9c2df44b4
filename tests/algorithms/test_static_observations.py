"""Learning from a part that is held once for each trajectory gives what holding it at each step gives."""

import gymnasium as gym
import numpy as np
import pytest

from rayrl.algorithms.bc.agreement import agreements
from rayrl.algorithms.ppo.options import ReferenceKL
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import TRAJECTORY_COLUMNS, action_spec
from rayrl.experience.dataset import EnvInfo, open_dataset
from rayrl.experience.dataset_writer import DatasetWriter
from rayrl.experience.replay.buffer import ReplayBuffer
from rayrl.models.weights import LoadReport
from rayrl.storage.spaces import Spaces
from tests.algorithms.bc.test_bc import config, epochs
from tests.algorithms.learners import ACTIONS, assert_same, ppo_config, trajectories, update

pytestmark = pytest.mark.usefixtures("ray_cluster")
SPACE = gym.spaces.Dict(
    {"level": gym.spaces.Box(-9, 9, (2,), np.float32), "place": gym.spaces.Box(-99, 99, (3,), np.float32)}
)
GRU = {"gru_cell_size": 6, "vf_share_layers": True, "max_seq_len": 4, "burn_in": 2}
LENGTHS = [5, 9, 1, 12, 6]


def batch_of(lengths=LENGTHS, seed=0) -> TrajectoryBatch:
    plain = trajectories(lengths, seed)
    columns = {"obs/place" if name == "obs" else name: x for name, x in plain.columns.items()}
    own = {"final_obs/place" if n == "final_obs" else n: x for n, x in plain.trajectory_columns.items()}
    levels = np.random.default_rng(seed).normal(size=(len(lengths), 2)).astype(np.float32)
    return TrajectoryBatch(columns, plain.offsets, own | {"obs/level": levels})


def build(made):
    learner = made.build_learner(spaces={"default_policy": (SPACE, ACTIONS)})
    learner.build()
    return learner


@pytest.mark.parametrize(
    "model_config", [{}, {"normalize_observations": True}, GRU], ids=["plain", "normalized", "gru"]
)
@pytest.mark.parametrize("kl_ref", [None, ReferenceKL(initial=0.5)], ids=["free", "held"])
def test_ppo(model_config, kl_ref):
    made = ppo_config(model_config, kl_ref=kl_ref, num_epochs=2, minibatch_size=8)
    learners = [build(made), build(made)]
    learners[1].policy.set_state(learners[0].policy.get_state())
    for learner in learners:
        if kl_ref is not None:
            weights = {name: x.numpy() for name, x in learner.policy.network.state_dict().items()}
            assert isinstance(learner.start_from(weights, where="test"), LoadReport)
    for seed in range(2):
        once = _as_rollout(batch_of(seed=seed), seed)
        for learner, batch in zip(learners, (once, once.with_static_parts_by_step()), strict=True):
            results = update(learner, batch)
            assert results["gradient_steps"] > 4
    assert_same(learners[0].policy.get_state(), learners[1].policy.get_state())


def _as_rollout(batch, seed):
    """With what the reference's memory asks of a rollout."""
    n = batch.num_trajectories
    ids = np.stack([np.full(n, seed), np.arange(n)], 1).astype(np.uint64)
    return batch.with_trajectory_columns(episode_id=ids, first_step=np.zeros(n, np.int64))


@pytest.fixture
def datasets(tmp_path):
    """The same demonstrations in both forms."""
    n = 12
    batch = _as_rollout(batch_of([6] * n), 0)
    batch = batch.drop(["action_logp", "action_dist_inputs"]).with_columns(
        actions=(batch.columns["obs/place"][:, 0] > 3).astype(action_spec(ACTIONS).dtype)
    )
    rest = {
        name: np.zeros((n, *spec.shape), spec.dtype)
        for name, spec in TRAJECTORY_COLUMNS.items()
        if spec.kind == "array" and name not in batch.trajectory_columns
    }
    batch = batch.with_trajectory_columns(**rest)
    paths = []
    for name, given in (("once", batch), ("by_step", batch.with_static_parts_by_step())):
        with DatasetWriter(tmp_path / name, spaces=Spaces(SPACE, ACTIONS), env=EnvInfo(id="x")) as writer:
            writer.append(given)
            writer.finish()
        paths.append(tmp_path / name)
    return paths


@pytest.mark.parametrize("model_config", [{"normalize_observations": True}, GRU], ids=["plain", "gru"])
def test_cloning(datasets, model_config):
    spaces = {"observation_space": SPACE, "action_space": ACTIONS}
    found = [epochs(config(str(path), model_config).environment(**spaces), 3) for path in datasets]
    (once, results), (by_step, expected) = found
    assert [{**a, "seconds": 0} for a in results] == [{**b, "seconds": 0} for b in expected]
    networks = [group._learner.policy.network for group in (once, by_step)]
    told = [agreements(net, open_dataset(path).load()) for net, path in zip(networks, datasets, strict=True)]
    assert told[0] == told[1]
    assert told[0]["all"]["steps"] == 72


def test_a_dataset_and_a_replay_buffer_take_them(datasets):
    once, by_step = (open_dataset(path).load() for path in datasets)
    assert once.with_static_parts_by_step() == by_step
    assert once.nbytes < by_step.nbytes
    buffer = ReplayBuffer(Spaces(SPACE, ACTIONS), EnvInfo(id="x"))
    buffer.add_dataset(open_dataset(datasets[0]))
    found = buffer.get_all_trajectories()
    assert found.obs["level"].shape == (72, 2)
