"""Each way in which a GPU is not used is told apart, with its remedy."""

import dataclasses

import pytest

from rayrl.doctor.gpus import Facts, Gpu, judge_gpus, look, parse_smi

GIB = 2**30
SMI = """\
0, GPU-5a3f41a2-0000, NVIDIA H200, 570.86.15, 143771, 4, Default
1, GPU-77e0c1b9-0000, NVIDIA H200, 570.86.15, 143771, 61440, Exclusive_Process
"""
APPS = "GPU-77e0c1b9-0000, 4711\n"
TWO = parse_smi(SMI, APPS)
FREE = tuple(dataclasses.replace(gpu, used=4 << 20, processes=(), compute_mode="Default") for gpu in TWO)
WORKS = Facts(
    hardware=("0000:01:00.0", "0000:02:00.0"),
    kernel_module=True,
    device_files=True,
    gpus=FREE,
    torch="2.13.0+cu128",
    torch_cuda="12.8",
    torch_count=2,
)


def with_(**changes) -> Facts:
    return dataclasses.replace(WORKS, **changes)


def test_what_nvidia_smi_lists():
    first, second = TWO
    assert first == Gpu(
        0, "GPU-5a3f41a2-0000", "NVIDIA H200", "570.86.15", 143771 << 20, 4 << 20, "Default", ()
    )
    assert (second.index, second.processes, second.compute_mode) == (1, (4711,), "Exclusive_Process")


def test_a_value_that_nvidia_smi_does_not_have_is_0():
    (gpu,) = parse_smi("0, GPU-1, NVIDIA GB10, 580.1, [N/A], [N/A], Default\n", "")
    assert (gpu.memory, gpu.used) == (0, 0)


@pytest.mark.parametrize(
    ("facts", "state", "message", "remedy"),
    [
        (Facts(), "ok", "there is no NVIDIA GPU; trials learn on CPUs", None),
        (
            Facts(hardware=("0000:01:00.0",), torch_cuda="12.8"),
            "warning",
            "there is an NVIDIA GPU (0000:01:00.0), but no driver for it",
            "install NVIDIA's driver",
        ),
        (
            with_(device_files=False, gpus=(), torch_count=0),
            "warning",
            "a container without GPUs",
            "--gpus all",
        ),
        (
            with_(
                gpus=(), torch_count=0, smi_error="Failed to initialize NVML: Driver/library version mismatch"
            ),
            "warning",
            "the driver does not work: Failed to initialize NVML: Driver/library version mismatch",
            "restart the machine",
        ),
        (
            with_(torch="2.13.0+cpu", torch_cuda=None, torch_count=0),
            "warning",
            "PyTorch 2.13.0+cpu is a build without CUDA, so 2 GPUs cannot be used",
            "install PyTorch's CUDA build",
        ),
        (
            with_(visible="", torch_count=0),
            "warning",
            "CUDA_VISIBLE_DEVICES='' hides 2 GPUs",
            "unset it",
        ),
        (
            with_(
                torch_count=0,
                torch_error="The NVIDIA driver on your system is too old (found version 11040).",
            ),
            "warning",
            "PyTorch 2.13.0+cu128 (CUDA 12.8) cannot use 2 GPUs: The NVIDIA driver on your system is too old",
            "new enough for CUDA 12.8",
        ),
        (WORKS, "ok", "2 usable with CUDA 12.8: NVIDIA H200 (140.4 GiB), NVIDIA H200 (140.4 GiB)", None),
        (
            with_(visible="1", torch_count=1),
            "ok",
            "1 usable with CUDA 12.8: NVIDIA H200 (140.4 GiB); CUDA_VISIBLE_DEVICES='1' hides 1 more",
            None,
        ),
        (
            with_(gpus=TWO),
            "warning",
            "GPU 1: 60.0 GiB in use by process 4711, in compute mode Exclusive_Process, which lets",
            "name another GPU",
        ),
        (
            with_(gpus=(dataclasses.replace(FREE[0], used=30 * GIB),), torch_count=1),
            "warning",
            "GPU 0: 30.0 GiB in use by processes that are not visible from here",
            "name another GPU",
        ),
    ],
)
def test_each_case_is_told_apart(facts, state, message, remedy):
    finding = judge_gpus(facts)
    assert finding.state == state
    assert message in finding.message
    assert finding.remedy is None if remedy is None else remedy in finding.remedy


def test_an_occupied_gpu_that_is_hidden_does_not_matter():
    assert judge_gpus(with_(gpus=TWO, visible="GPU-5a3f41a2", torch_count=1)).state == "ok"


def test_what_a_failing_nvidia_smi_says_is_kept(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert look({}).smi_error == "No devices were found"


def test_this_machine_agrees_with_pytorch():
    import torch

    facts = look({"CUDA_VISIBLE_DEVICES": "0"})
    assert facts.torch == torch.__version__
    assert facts.torch_count == torch.cuda.device_count()
    assert facts.visible == "0"
