"""What a learner says of its GPU."""

import pytest
import torch

from rayrl.algorithms.gpu_usage import gpu_usage


def test_a_cpu_has_nothing_to_say():
    assert gpu_usage(torch.device("cpu")) == {}


@pytest.mark.gpu
def test_the_peak_since_the_last_call():
    device = torch.device("cuda:0")
    gpu_usage(device)
    before = torch.cuda.memory_allocated(device)
    peak = torch.zeros(2**28, dtype=torch.uint8, device=device)  # a quarter of a GiB
    del peak
    usage = gpu_usage(device)
    assert usage["gpu_memory_gib"] == pytest.approx(before / 2**30 + 0.25, abs=0.01)
    assert gpu_usage(device)["gpu_memory_gib"] == pytest.approx(before / 2**30, abs=0.01)
    assert 0 <= usage.get("gpu_utilization", 0) <= 1
