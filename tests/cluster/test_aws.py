"""cluster/aws.yaml against Ray's own schema and defaults, and against what rayrl reads of it; offline."""

import copy
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.resources import read_autoscaler

ROOT = Path(__file__).parents[2]
FILE = ROOT / "cluster" / "aws.yaml"
YOURS = ("file_system", "subnet", "security_group", "machine_image", "image_cpu", "image_cuda")


@pytest.fixture
def config():
    return yaml.safe_load(FILE.read_text())


def prepared(config):
    """The configuration as `ray up` completes it."""
    return prepare_config(copy.deepcopy(config))


def test_ray_takes_it(config):
    validate_config(prepared(config))
    config["available_node_types"]["cpu_worker"]["min_worker"] = 0
    with pytest.raises(jsonschema.ValidationError, match="min_worker"):
        validate_config(prepared(config))


def test_nothing_is_left_to_rays_defaults(config):
    assert set(prepared(config)) == set(config)
    assert config["provider"] == {
        "type": "aws",
        "region": "us-west-2",
        "use_internal_ips": False,
        "cache_stopped_nodes": False,
    }
    for name in ("setup_commands", "head_setup_commands", "worker_setup_commands"):
        assert config[name] == prepared(config)[name] == []
    for node_type in config["available_node_types"].values():
        # Each of these would be looked up, or made, by Ray.
        assert set(node_type["node_config"]) >= {"ImageId", "SubnetIds", "SecurityGroupIds", "InstanceType"}


def test_what_is_yours_stands_at_the_top_and_nowhere_else(config):
    text = FILE.read_text()
    assert next(iter(config)) == "metadata"
    assert tuple(config["metadata"])[: len(YOURS)] == YOURS
    assert [text.count(config["metadata"][name]) for name in YOURS] == [1] * len(YOURS)


def test_all_nodes_mount_the_one_file_system(config):
    yours = config["metadata"]
    (mount,) = [command for command in config["initialization_commands"] if "mount -t nfs4" in command]
    assert "tags/instance/file-system" in mount
    for node_type in config["available_node_types"].values():
        node = node_type["node_config"]
        assert node["TagSpecifications"] == [
            {
                "ResourceType": "instance",
                "Tags": [{"Key": "file-system", "Value": yours["file_system"]}],
            }
        ]
        assert node["MetadataOptions"]["InstanceMetadataTags"] == "enabled"
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert "initialization_commands" not in node_type
    assert "--volume=/mnt/efs:/mnt/efs" in config["docker"]["run_options"]


def test_workers_are_spot_and_end_when_idle_and_the_head_is_neither(config):
    types = dict(config["available_node_types"])
    assert "InstanceMarketOptions" not in types.pop(config["head_node_type"])["node_config"]
    assert set(types) == {"cpu_worker", "gpu_worker"}
    for node_type in types.values():
        assert node_type["min_workers"] == 0
        assert node_type["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert types["gpu_worker"]["docker"]["worker_image"] == config["metadata"]["image_cuda"]
    assert config["idle_timeout_minutes"] <= 15


def test_a_token_is_asked_for_and_the_dashboard_stays_on_the_head(config):
    assert "--env=RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    (start,) = [command for command in config["head_start_ray_commands"] if "--head" in command]
    assert "--dashboard-host=127.0.0.1" in start
    assert "0.0.0.0" not in str(config)


def test_rayrl_reads_what_the_cluster_can_grow_to(config):
    capacity = read_autoscaler(FILE)
    assert (capacity.total("CPU"), capacity.total("GPU")) == (6 * 16, 2)
    experiment = load_experiment(
        ROOT / "jobs" / "experiments" / "router.yaml", ["train.learners=2", "train.env_runners=12"]
    )
    bundles = experiment.train.trial_bundles(capacity.total("GPU"))
    assert sum(bundle["GPU"] for bundle in bundles) == 2
    assert capacity.holds(bundles)
    # The head has nothing to give.
    assert capacity.nodes == ({"CPU": 0, "GPU": 0},)


def test_commands_are_shell(config):
    commands = [
        *config["initialization_commands"],
        *config["head_start_ray_commands"],
        *config["worker_start_ray_commands"],
    ]
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
