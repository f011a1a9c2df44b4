"""What the report says of the machine."""

import json

import psutil
import pytest

from rayrl.pipeline import hardware as module
from rayrl.pipeline.hardware import hardware


def test_it_tells_of_this_machine_in_plain_json_values():
    found = hardware()
    assert json.loads(json.dumps(found)) == found
    assert 1 <= found["CPUs"] <= psutil.cpu_count()
    assert found["memory"] == f"{round(psutil.virtual_memory().total / 2**30)} GiB"


@pytest.mark.parametrize(
    ("text", "name"),
    [("processor : 0\nmodel name\t: Some CPU @ 2.4 GHz\n\nmodel name : Other\n", "Some CPU @ 2.4 GHz")],
)
def test_the_processor_is_named_as_linux_does(tmp_path, monkeypatch, text, name):
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "cpuinfo")
    assert hardware()["processor"]
    (tmp_path / "cpuinfo").write_text(text)
    assert hardware()["processor"] == name
