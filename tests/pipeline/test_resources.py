"""What a trial asks for, against what there is."""

import pytest
import yaml

from rayrl.algorithms.options import TrainOptions
from rayrl.errors import ConfigError, ResourceError
from rayrl.pipeline.resources import Capacity, NodeType, read_autoscaler, require

HEAD = {"CPU": 2.0, "GPU": 0.0}


def cpus(*amounts: float) -> list[dict[str, float]]:
    return [{"CPU": amount, "GPU": 0.0} for amount in amounts]


@pytest.mark.parametrize(
    ("bundles", "fits"),
    [
        (cpus(1, 0.25, 0.25, 0.25, 0.25), True),
        (cpus(1, 0.5, 0.5, 0.25), False),
        (cpus(1.5, 1.5), True),  # one on each node
        (cpus(1.5, 1.5, 0.75), False),  # 3.75 of 4, but no node has 0.75 left
        ([{"CPU": 0.0, "GPU": 1.0}], False),
    ],
)
def test_bundles_are_placed_whole_on_nodes(bundles, fits):
    nodes = (HEAD, HEAD) if max(b["CPU"] for b in bundles) > 1 else (HEAD,)
    assert Capacity(nodes).holds(bundles) is fits


def test_an_autoscaler_may_start_nodes_of_each_type_and_so_many_in_all():
    gpu = NodeType({"CPU": 4.0, "GPU": 1.0}, max_nodes=2)
    small = NodeType({"CPU": 4.0}, max_nodes=8)
    capacity = Capacity((HEAD,), (gpu, small), max_started=3)
    assert capacity.holds([{"CPU": 1.0, "GPU": 1.0}] * 2 + cpus(4))
    assert not capacity.holds([{"CPU": 1.0, "GPU": 1.0}] * 3)  # 2 GPU nodes at most
    assert not capacity.holds(cpus(4, 4, 4, 4))  # 3 nodes at most
    assert (capacity.total("CPU"), capacity.total("GPU")) == (14.0, 2.0)


def test_what_is_missing_is_named():
    with pytest.raises(ResourceError) as caught:
        require(cpus(*[1.0] * 65), Capacity((HEAD,)), where="this machine", remedy="use less")
    assert caught.value.message == (
        "a trial cannot be placed: missing 63 CPUs (it asks for 65, and there are 2)"
    )
    with pytest.raises(ResourceError, match=r"missing 3 CPUs .* 1 GPU \(it asks for 1, and there are 0\)"):
        require([*cpus(4), {"CPU": 1.0, "GPU": 1.0}], Capacity((HEAD,)), where="", remedy="")
    with pytest.raises(ResourceError, match="of up to 3 CPUs each, do not fit into single nodes"):
        require(cpus(3), Capacity((HEAD, HEAD)), where="", remedy="")


def test_a_cluster_file_gives_the_maxima(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(
        """
cluster_name: x
max_workers: 4
head_node_type: head
available_node_types:
  head: {resources: {CPU: 2}, node_config: {}}
  worker: {resources: {CPU: 8, GPU: 1}, max_workers: 3, node_config: {}}
"""
    )
    assert read_autoscaler(file) == Capacity(({"CPU": 2},), (NodeType({"CPU": 8, "GPU": 1}, 3),), 4)
    file.write_text(file.read_text().replace(", max_workers: 3", ""))
    assert read_autoscaler(file) == Capacity(({"CPU": 2},), (NodeType({"CPU": 8, "GPU": 1}, 4),), 4)
    file.write_text(file.read_text().replace("{CPU: 8, GPU: 1}", "{}"))
    assert read_autoscaler(file) is None


def test_what_a_cluster_file_leaves_out_is_what_the_autoscaler_fills_in(tmp_path):
    from ray.autoscaler._private.util import fill_node_type_min_max_workers

    values = {
        "max_workers": 5,
        "head_node_type": "head",
        "available_node_types": {"head": {"resources": {"CPU": 2}}, "worker": {"resources": {"CPU": 8}}},
    }
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(values))
    fill_node_type_min_max_workers(values)
    worker = NodeType({"CPU": 8}, values["available_node_types"]["worker"]["max_workers"])
    assert read_autoscaler(file) == Capacity(({"CPU": 2},), (worker,), 5)
    assert values["available_node_types"]["head"]["max_workers"] == 0


@pytest.mark.parametrize("text", ["[]", "a: {", "head_node_type: head\navailable_node_types: {}\n"])
def test_another_file_is_refused(tmp_path, text):
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="not a cluster launcher's configuration"):
        read_autoscaler(file)
    with pytest.raises(ConfigError):
        read_autoscaler(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        (TrainOptions(), 0.0),
        (TrainOptions(), 1.0),
        (TrainOptions(env_runners=2, learners=2, cpus_per_learner=0.25, cpus_per_env_runner=0.25), 0.0),
        (TrainOptions(env_runners=1, learners=2, cpus_per_learner=1), 2.0),
        (TrainOptions(learners=2, gpus_per_learner=0.5), 1.0),
        (TrainOptions(cpus_per_learner=3), 0.0),
    ],
)
def test_a_trial_asks_for_what_rllib_requests(options, gpus):
    from ray.rllib.algorithms.ppo import PPO, PPOConfig

    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=options.env_runners, num_cpus_per_env_runner=options.cpus_per_env_runner)
        .learners(
            num_learners=options.learners,
            num_cpus_per_learner=options.cpus_per_learner,
            num_gpus_per_learner=options.gpus_for_each_learner(gpus),
        )
    )
    requested = PPO.default_resource_request(config).bundles
    asked = [{name: amount for name, amount in b.items() if amount} for b in options.trial_bundles(gpus)]
    assert asked == [{name: amount for name, amount in b.items() if amount} for b in requested]


def test_gpus_are_taken_where_there_is_one_for_each_learner():
    assert TrainOptions(learners=2).gpus_for_each_learner(1.0) == 0.0
    assert TrainOptions(learners=2).gpus_for_each_learner(2.0) == 1.0
    assert TrainOptions(gpus_per_learner=0).gpus_for_each_learner(8.0) == 0.0
