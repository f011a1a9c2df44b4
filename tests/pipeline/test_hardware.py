"""What a run ran on is written down."""

import os

from rayrl.pipeline.hardware import hardware, record_environment
from rayrl.storage.atomic import read_json


def test_this_machine_is_described_where_there_is_no_ray(no_ray):
    found = hardware()
    assert found["processor"]
    assert 1 <= float(found["CPUs"]) <= (os.cpu_count() or 1)
    assert float(found["memory"].removesuffix(" GiB")) > 0


def test_a_cluster_is_described_by_all_its_nodes(ray_cluster):
    found = hardware()
    assert found["nodes"] == 1
    assert found["CPUs"] == "4"
    assert found["GPUs"] == "0"


def test_the_record_holds_versions_too(tmp_path):
    record_environment(tmp_path / "environment.json")
    record = read_json(tmp_path / "environment.json", "the record")
    assert record["versions"]["ray"].startswith("2.60")
    assert record["hardware"]["processor"]
