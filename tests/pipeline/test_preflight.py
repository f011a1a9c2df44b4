"""What is refused before anything is submitted."""

import pytest

from rayrl.errors import ConfigError, EnvError, ResourceError
from rayrl.pipeline import preflight
from rayrl.pipeline.cluster import connect
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.private_ray import Access

TWO_CPUS_MORE = "train.env_runners=3"
"""With the trial's own process 4 CPUs, where the cluster of the tests has 2."""

LAUNCHER = """
head_node_type: head
max_workers: 1
available_node_types:
  head: {resources: {CPU: 2}, node_config: {}}
  worker: {resources: {CPU: %d}, max_workers: 2, node_config: {}}
"""


@pytest.fixture
def client(cluster):
    url = cluster["RAY_API_SERVER_ADDRESS"]
    return connect(url, Access(url, cluster["RAY_AUTH_TOKEN"]))


@pytest.fixture
def launcher(tmp_path):
    def write(worker_cpus: int):
        file = tmp_path / "launcher.yaml"
        file.write_text(LAUNCHER % worker_cpus)
        return file

    return write


def test_this_machine_must_hold_a_trial(file, monkeypatch):
    monkeypatch.setattr(preflight, "this_machine", lambda: {"CPU": 2.0, "GPU": 0.0})
    preflight.check_machine(load_experiment(file, ["train.env_runners=1"]))
    with pytest.raises(ResourceError, match="this machine: a trial cannot be placed: missing 2 CPUs"):
        preflight.check_machine(load_experiment(file, [TWO_CPUS_MORE]))


def test_a_cluster_has_room_or_may_grow_or_refuses_or_is_not_known(
    file, client, launcher, tmp_path, monkeypatch
):
    monkeypatch.setattr(preflight, "BOOTSTRAP_FILE", tmp_path / "bootstrap.yaml")
    assert client.nodes() == [{"CPU": 2.0, "GPU": 0.0}]
    small, large = load_experiment(file), load_experiment(file, [TWO_CPUS_MORE])
    assert preflight.check_cluster(small, client, None) is None
    assert "fails after 600 s without room" in preflight.check_cluster(large, client, None)
    assert preflight.check_cluster(large, client, launcher(2)) is None
    with pytest.raises(ResourceError, match=r"launcher\.yaml: a trial cannot be placed: missing 1 CPU \("):
        preflight.check_cluster(large, client, launcher(1))
    with pytest.raises(ConfigError):
        preflight.check_cluster(large, client, tmp_path / "none.yaml")

    # What the launcher left on the head node is read without being named.
    launcher(1).rename(tmp_path / "bootstrap.yaml")
    with pytest.raises(ResourceError, match=r"bootstrap\.yaml"):
        preflight.check_cluster(large, client, None)


@pytest.mark.parametrize(
    ("override", "message"),
    [("env.id=NoSuch-v0", "is not a registered environment"), ("env.id=nowhere:Env", "cannot be imported")],
)
def test_the_environment_is_built_once(file, override, message):
    preflight.check_environment(load_experiment(file))
    with pytest.raises(EnvError, match=message):
        preflight.check_environment(load_experiment(file, [override]))
