"""Why no GPU is used, or which ones are, and whether others use them."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rayrl.doctor.finding import Finding, gib
from rayrl.pipeline.resources import GPU_DRIVERS

_PCI = Path("/sys/bus/pci/devices")
_KERNEL_MODULE = Path("/proc/driver/nvidia/version")
_NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""What the class of a PCI device begins with, if it is a display controller or 3D accelerator."""
_SMI = "nvidia-smi"
_SMI_TIMEOUT_S = 20
_GPU_FIELDS = "index,uuid,name,driver_version,memory.total,memory.used,compute_mode"
_APP_FIELDS = "gpu_uuid,pid"
_MIB = 1 << 20
_IN_USE = 0.05
"""Share of a GPU's memory in use from which on it counts as occupied: a driver alone takes less."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as ``nvidia-smi`` lists it."""

    index: int
    uuid: str
    name: str
    driver: str
    memory: int
    """Bytes."""
    used: int
    """Bytes."""
    compute_mode: str
    processes: tuple[int, ...] = ()
    """Those that compute on it and are visible from here."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be seen of GPUs, from the hardware up."""

    hardware: tuple[str, ...] = ()
    """PCI addresses of NVIDIA's GPUs."""
    kernel_module: bool = False
    """Whether the kernel has NVIDIA's driver loaded."""
    device_files: bool = False
    """Whether the driver's device files are there, which a container needs to be given."""
    gpus: tuple[Gpu, ...] = ()
    smi_error: str | None = None
    """What ``nvidia-smi`` said when it failed; null where it did not, or is not installed."""
    torch: str = ""
    """Version of PyTorch."""
    torch_cuda: str | None = None
    """CUDA version that it was built for; None is a CPU build."""
    torch_count: int = 0
    """GPUs that PyTorch can use."""
    torch_error: str | None = None
    """Why it can use none."""
    visible: str | None = None
    """``CUDA_VISIBLE_DEVICES``."""


def check_gpus() -> Finding:
    """Which GPUs there are, or what stands between them and PyTorch."""
    return judge_gpus(look())


def judge_gpus(facts: Facts) -> Finding:
    """What the facts mean: the lowest layer that fails is the one to mend."""
    numbers = {
        "usable": facts.torch_count,
        "listed": [{"index": gpu.index, "name": gpu.name, "memory": gpu.memory} for gpu in facts.gpus],
        "torch_cuda": facts.torch_cuda,
        "visible": facts.visible,
    }
    state, message, remedy = _usable(facts) or _broken(facts)
    return Finding.parse(
        {"check": "gpu", "state": state, "message": message, "remedy": remedy, "facts": numbers}, where="gpu"
    )


_Verdict = tuple[str, str, str | None]


def _broken(facts: Facts) -> _Verdict:
    count = len(facts.gpus) or len(facts.hardware)
    some = f"{count} GPU{'s' if count > 1 else ''}" if count else "the GPU"
    if not facts.device_files:
        if facts.kernel_module:
            text = (
                "the kernel has NVIDIA's driver, but its device files are not here: a container without GPUs"
            )
            return "warning", text, "start the container with `--gpus all` (NVIDIA Container Toolkit)"
        if facts.hardware:
            text = f"there is an NVIDIA GPU ({', '.join(facts.hardware)}), but no driver for it"
            return "warning", text, "install NVIDIA's driver until `nvidia-smi` lists the GPU"
        return "ok", "there is no NVIDIA GPU; trials learn on CPUs", None
    if facts.smi_error:
        remedy = (
            "mend the driver until `nvidia-smi` lists the GPU; after an update of it, restart the machine"
        )
        return "warning", f"the driver does not work: {facts.smi_error}", remedy
    if facts.torch_cuda is None:
        text = f"PyTorch {facts.torch} is a build without CUDA, so {some} cannot be used"
        return "warning", text, "install PyTorch's CUDA build (docs/platforms.md says how)"
    if facts.visible is not None:
        text = f"CUDA_VISIBLE_DEVICES={facts.visible!r} hides {some}"
        return "warning", text, "unset it, or name devices that `nvidia-smi --list-gpus` has"
    text = f"PyTorch {facts.torch} (CUDA {facts.torch_cuda}) cannot use {some}"
    text += f": {facts.torch_error}" if facts.torch_error else ""
    remedy = f"install a driver that is new enough for CUDA {facts.torch_cuda}, or a build for an older CUDA"
    return "warning", text, remedy


def _usable(facts: Facts) -> _Verdict | None:
    if not facts.torch_count:
        return None
    shown = [gpu for gpu in facts.gpus if _is_visible(gpu, facts.visible)]
    names = ", ".join(f"{gpu.name} ({gib(gpu.memory)})" for gpu in shown)
    text = f"{facts.torch_count} usable with CUDA {facts.torch_cuda}" + (f": {names}" if names else "")
    if facts.gpus and facts.torch_count < len(facts.gpus):
        text += f"; CUDA_VISIBLE_DEVICES={facts.visible!r} hides {len(facts.gpus) - facts.torch_count} more"
    occupied = [gpu for gpu in shown if gpu.processes or gpu.used > _IN_USE * gpu.memory]
    if occupied:
        text += "".join(f"; GPU {gpu.index}: {_use(gpu)}" for gpu in occupied)
        remedy = "wait until it is free, or name another GPU in CUDA_VISIBLE_DEVICES"
        return "warning", text, remedy
    return "ok", text, None


def _use(gpu: Gpu) -> str:
    numbers = ", ".join(map(str, gpu.processes))
    who = f"process {numbers}" if numbers else "processes that are not visible from here"
    text = f"{gib(gpu.used)} in use by {who}"
    exclusive = gpu.compute_mode not in ("Default", "[N/A]", "N/A")
    return f"{text}, in compute mode {gpu.compute_mode}, which lets no other in" if exclusive else text


def _is_visible(gpu: Gpu, visible: str | None) -> bool:
    if visible is None:
        return True
    names = [name.strip() for name in visible.split(",")]
    return any(name == str(gpu.index) or (name and gpu.uuid.startswith(name)) for name in names)


def look(environ: Mapping[str, str] = os.environ) -> Facts:
    """What can be seen of GPUs on this machine; nothing is put on one."""
    gpus, smi_error = _ask_smi()
    torch_version, cuda, count, error = _ask_torch()
    return Facts(
        hardware=_pci_gpus(_PCI),
        kernel_module=_KERNEL_MODULE.exists(),
        device_files=any(Path(file).exists() for file in GPU_DRIVERS),
        gpus=gpus,
        smi_error=smi_error,
        torch=torch_version,
        torch_cuda=cuda,
        torch_count=count,
        torch_error=error,
        visible=environ.get("CUDA_VISIBLE_DEVICES"),
    )


def _pci_gpus(devices: Path) -> tuple[str, ...]:
    found = []
    for device in sorted(devices.glob("*")):
        try:
            vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
        except OSError:
            # Not every device says what it is.
            continue
        if vendor == _NVIDIA and kind.startswith(_DISPLAY):
            found.append(device.name)
    return tuple(found)


def _ask_smi() -> tuple[tuple[Gpu, ...], str | None]:
    if shutil.which(_SMI) is None:
        return (), None
    try:
        gpus = _query("gpu", _GPU_FIELDS)
        apps = _query("compute-apps", _APP_FIELDS)
    except subprocess.TimeoutExpired:
        return (), f"{_SMI} does not answer within {_SMI_TIMEOUT_S} s"
    except subprocess.CalledProcessError as error:
        said = (error.stdout or error.stderr or "").strip().splitlines()
        return (), said[0] if said else f"{_SMI} ended with exit code {error.returncode}"
    return parse_smi(gpus, apps), None


def parse_smi(gpus: str, apps: str) -> tuple[Gpu, ...]:
    """The GPUs that ``nvidia-smi`` lists.

    Args:
        gpus: its answer to ``--query-gpu`` in CSV, without header and units.
        apps: its answer to ``--query-compute-apps``.
    """
    processes: dict[str, list[int]] = {}
    for line in filter(None, apps.splitlines()):
        uuid, pid = (cell.strip() for cell in line.split(","))
        processes.setdefault(uuid, []).append(int(pid))
    found = []
    for line in filter(None, gpus.splitlines()):
        index, uuid, name, driver, total, used, mode = (cell.strip() for cell in line.split(","))
        sizes = [int(size) * _MIB if size.isdecimal() else 0 for size in (total, used)]
        pids = tuple(processes.get(uuid, ()))
        found.append(Gpu(int(index), uuid, name, driver, sizes[0], sizes[1], mode, pids))
    return tuple(found)


def _query(what: str, fields: str) -> str:
    command = [_SMI, f"--query-{what}={fields}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_TIMEOUT_S, check=True)
    return done.stdout


def _ask_torch() -> tuple[str, str | None, int, str | None]:
    """Version, CUDA version, usable GPUs, and why there are none."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    error = str(said[-1].message).split("\n")[0] if said and not count else None
    if not count and torch.version.cuda and error is None:
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError) as raised:
            error = str(raised).split("\n")[0]
    return torch.__version__, torch.version.cuda, count, error
