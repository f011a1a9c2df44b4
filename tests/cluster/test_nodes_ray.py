"""Several nodes on this host: where a trial's processes go, and who asks for the run folder.

A node that does not share the run folder has a file system of its own mounted there, in the mount
namespace of its processes.
"""

import os
import signal
import subprocess
import sys
import time

import pytest
import ray
import yaml
from ray._private.state import actors
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayrl.errors import EnvError, StageError, StorageError
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.node_probe import alive_nodes, require_shared
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.stages import StageUnit, stage_kind
from rayrl.pipeline.train_stage import run
from rayrl.pipeline.trial import read_trial
from tests.local_ray import end_ray

NEEDS_NAMESPACE = pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0,
    reason="mount namespaces are not allowed here",
)
START_TIMEOUT_S = 90


@pytest.fixture(scope="module")
def cluster():
    """A head node without CPUs, to which this process belongs."""
    end_ray()
    nodes = Cluster(
        initialize_head=True, connect=False, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture
def node(cluster):
    """Adds nodes, and removes them after the test."""
    added = []

    def add(cpus: int) -> str:
        added.append(cluster.add_node(num_cpus=cpus))
        return added[-1].node_id

    yield add
    for each in added:
        cluster.remove_node(each)


@pytest.fixture
def by_hand(cluster, tmp_path):
    """Starts nodes by hand, which come when they are up; those that are blind do not share the run folder."""
    processes = []

    def start(cpus: int, *, blind: bool = False) -> None:
        command = (
            f"exec {sys.executable} -m ray.scripts.scripts start --block --address={cluster.address} "
            f"--num-cpus={cpus} --num-gpus=0 --object-store-memory=100000000 "
            "--dashboard-agent-listen-port=0 --disable-usage-stats"
        )
        if blind:
            command = f"mount -t tmpfs none {tmp_path / 'run'} && {command}"
        with (tmp_path / "node.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [*(["unshare", "-m"] if blind else []), "sh", "-c", command],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def blind_node(by_hand, tmp_path):
    """Adds a node that does not share the run folder, and waits for it."""

    def add(cpus: int) -> str:
        before, deadline = set(alive_nodes()), time.monotonic() + START_TIMEOUT_S
        by_hand(cpus, blind=True)
        while not (new := set(alive_nodes()) - before):
            assert time.monotonic() < deadline, (tmp_path / "node.log").read_text()
            time.sleep(0.25)
        return new.pop()

    return add


@pytest.fixture
def context(tmp_path):
    """A training of PPO for two iterations: the trial, two workers, and a learner with three CPUs."""

    def make(**train: object) -> StageContext:
        options = {"train_batch_size_per_learner": 64, "minibatch_size": 32, "num_epochs": 1}
        values = {
            "name": "cart",
            "seeds": [0],
            "env": {"id": "CartPole-v1"},
            "conditions": ["no_pretrain"],
            "train": {
                "total_steps": 128, "envs_per_runner": 2, "env_runners": 2, "learners": 1,
                "cpus_per_learner": 3, "gpus_per_learner": 0, "options": options,
                "resource_timeout_s": 120,
            } | train,
        }  # fmt: skip
        file = tmp_path / "cart.yaml"
        file.write_text(yaml.safe_dump(values))
        folder = RunFolder(tmp_path / "run")
        folder.prepare(load_experiment(file), invocation_of(file, (), smoke=False))
        return StageContext(folder.experiment(), folder, StageUnit(stage_kind("train")))

    return make


def nodes_of(part: str) -> set[str]:
    """Nodes of the actors, dead or alive, whose class has this in its name."""
    return {found["Address"]["NodeID"] for found in actors().values() if part in found["ActorClassName"]}


def finished(train: StageContext) -> bool:
    return read_trial(train.folder, "mlp_baseline", "no_pretrain", 0).state == "finished"


@pytest.mark.slow
def test_workers_are_on_one_node_and_the_learner_on_another(node, context):
    # Of three CPUs each, a node holds either the learner, or the trial and its two workers.
    first, second = node(3), node(3)
    require_shared(context().folder.path)
    train = context()
    assert run(train) is not None
    assert finished(train)
    # RLlib's learners are actors of Ray Train's class.
    workers, learners = nodes_of("EnvRunner"), nodes_of("WrappedExecutable")
    assert {*workers, *learners} == {first, second}
    assert len(workers) == len(learners) == 1
    assert not list(train.folder.path.rglob("*.tmp"))


@pytest.mark.slow
def test_a_node_that_comes_while_a_trial_waits_takes_it(cluster, by_hand, context):
    train = context(env_runners=0, learners=0)
    by_hand(3)
    assert list(alive_nodes()) == [cluster.head_node.node_id]
    assert run(train) is not None
    assert finished(train)


@pytest.mark.slow
@NEEDS_NAMESPACE
def test_nodes_that_do_not_share_the_folder_are_named(node, blind_node, context):
    node(1)
    folder = context().folder.path
    require_shared(folder)
    blind = blind_node(1)
    with pytest.raises(StorageError, match=rf"{folder}: node \S+ \({blind[:8]}\): what is written here"):
        require_shared(folder)
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.slow
@NEEDS_NAMESPACE
@pytest.mark.parametrize("learners", [0, 1])
def test_a_later_node_that_does_not_share_it_is_refused_before_anything_is_written_there(
    node, blind_node, context, learners
):
    """The node takes the trial, or its learner: with one, another node takes the trial and its workers."""
    train = context(env_runners=2 * learners, learners=learners)
    if learners:
        node(3)
    blind = blind_node(3)
    with pytest.raises(StageError, match=rf"node \S+ \({blind[:8]}\): what is written here is not seen"):
        run(train)
    written = ray.remote(num_cpus=0)(lambda folder: list(folder.iterdir())).options(
        scheduling_strategy=NodeAffinitySchedulingStrategy(blind, soft=False)
    )
    assert ray.get(written.remote(train.folder.path)) == []


def test_a_node_that_cannot_import_the_environment_is_named(cluster, tmp_path, monkeypatch):
    (tmp_path / "local_only.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    head = cluster.head_node.node_id[:8]
    with pytest.raises(EnvError, match=rf"on node \S+ \({head}\), module 'local_only' cannot be imported"):
        require_shared(tmp_path, "local_only:Env")
