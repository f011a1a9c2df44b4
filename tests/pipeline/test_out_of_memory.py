"""Memory that was not there is told from other errors, and what a trial took is seen."""

import errno
import re

import numpy as np
import pytest
import torch
from ray.exceptions import OutOfMemoryError

from rayrl.algorithms.options import TrainOptions
from rayrl.errors import EnvError
from rayrl.pipeline.out_of_memory import is_out_of_memory, memory_advice
from rayrl.pipeline.trial_resources import (
    RESOURCES_FILE,
    MemoryWatch,
    TrialResources,
    read_resources,
)

MIB = 2**20


def raised(allocate):
    try:
        allocate()
    except Exception as error:
        return error
    raise AssertionError("there was memory enough")


def within(error):
    """The same as the cause of what the environment is said to have raised."""
    try:
        raise EnvError("raised too often") from error
    except EnvError as outer:
        return outer


@pytest.mark.parametrize(
    "allocate",
    [lambda: np.ones(2**50), lambda: torch.ones(2**50), lambda: bytearray(2**60)],
    ids=["numpy", "torch", "bytes"],
)
def test_what_could_not_be_allocated(allocate):
    error = raised(allocate)
    assert is_out_of_memory(error)
    assert is_out_of_memory(within(error))


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (OutOfMemoryError("Memory on the node was 15 GB / 16 GB; Ray killed this worker"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ValueError("a bad action"), False),
        (KeyError("memory"), False),
    ],
)
def test_other_errors_are_not_of_memory(error, is_it):
    assert is_out_of_memory(error) == is_it


def test_the_advice_names_options_with_their_values():
    train = TrainOptions(envs_per_runner=64, options={"minibatch_size": 512}, cpus_per_learner=2)
    advice = memory_advice(train, TrialResources(peak_memory_bytes=300 * MIB, peak_gpu_memory_bytes=MIB))
    assert "having had up to 300 MiB and 1 MiB on a GPU" in advice
    for part in ("minibatch_size (now 512)", "envs_per_runner (now 64)", "cpus_per_learner (now 2)"):
        assert part in advice
    assert "replay" not in advice
    named = re.findall(r"train\.(\w+)", advice)
    assert {name for name in named if name != "options"} <= set(TrainOptions.model_fields)


def test_the_peak_is_seen_and_outlives_the_watch(tmp_path):
    with MemoryWatch(tmp_path) as watch:
        before = watch.peak.peak_memory_bytes
        held = np.ones(150 * MIB // 8)
        watch.saw(0)
        del held
    found = read_resources(tmp_path)
    assert 140 * MIB < found.peak_memory_bytes - before < 400 * MIB
    with MemoryWatch(tmp_path) as again:
        assert again.peak.peak_memory_bytes >= found.peak_memory_bytes


def test_what_other_processes_have_is_added(tmp_path):
    with MemoryWatch(tmp_path) as watch:
        own = watch.peak.peak_memory_bytes
        watch.saw(own + 5_000 * MIB)
        watch.saw_gpu(7 * MIB)
        watch.saw_gpu(3 * MIB)
    found = read_resources(tmp_path)
    assert 4_500 * MIB < found.peak_memory_bytes - own < 5_500 * MIB
    assert found.peak_gpu_memory_bytes == 7 * MIB


def test_a_damaged_record_is_passed_over(tmp_path):
    (tmp_path / RESOURCES_FILE).write_text("{")
    assert read_resources(tmp_path) == TrialResources()
