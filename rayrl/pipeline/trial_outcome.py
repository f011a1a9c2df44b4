"""What a trial leaves at its end: its policy, what replay kept, and what it cost."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.algorithms.config import ColumnarConfig
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline.trial_progress import PROGRESS_FILE
from rayrl.pipeline.trial_resources import read_resources
from rayrl.pipeline.trial_spec import TrialSpec

REPLAY_FOLDER = "replay_buffer"

_log = logging.getLogger(__name__)


def save_trained(algorithm: ColumnarAlgorithm, trial: Path, spec: TrialSpec, *, run: str) -> None:
    """Saves the policy as the learners have it, in the trial's folder.

    Args:
        algorithm: the trial's.
        trial: its folder.
        spec: what it is.
        run: the run's id.

    Raises:
        StorageError: the disk is full or not writable.
    """
    save_policy(
        trial / "policy",
        algorithm.learner_module().network,
        architecture=spec.architecture,
        provenance={"run": run, "trial": spec.name, "seed": spec.seed, "step": algorithm.env_steps},
    )


def save_replay(algorithm: ColumnarAlgorithm, trial: Path, name: str) -> None:
    """Saves what was kept of the rollouts, where it is to be.

    Args:
        algorithm: the trial's.
        trial: its folder.
        name: its name, where the buffers of several trials are saved beside each other.

    Raises:
        StorageError: the disk is full or not writable.
    """
    settings = algorithm.config.replay_settings
    if algorithm.replay is not None and settings.save_replay_buffer:
        named = settings.replay_buffer_save_path
        path = trial / REPLAY_FOLDER if named is None else Path(named) / name
        algorithm.replay.buffer.save(path)
        _log.info("%s: its replay buffer is in %s", name, path)


def costs(config: ColumnarConfig, trial: Path) -> dict[str, Any]:
    """What a trial took, for its manifest; seconds are those of the iterations that count.

    Args:
        config: the algorithm's config.
        trial: the trial's folder.

    Returns:
        ``seconds``, in which it collected and learned; ``cpus`` and ``gpus`` that it asked for, and so
        ``cpu_hours`` and ``gpu_hours``; ``peak_memory_bytes`` of its processes, and
        ``peak_gpu_memory_bytes`` on a learner's GPU, null where there is none.
    """
    lines = (trial / PROGRESS_FILE).read_text(encoding="utf-8").splitlines()
    seconds = sum(json.loads(line)["seconds"]["total"] for line in lines)
    asked = config.algo_class.default_resource_request(config).required_resources
    cpus, gpus = (float(asked.get(name, 0.0)) for name in ("CPU", "GPU"))
    return {
        "seconds": seconds,
        "cpus": cpus,
        "gpus": gpus,
        "cpu_hours": cpus * seconds / 3600,
        "gpu_hours": gpus * seconds / 3600,
        **read_resources(trial).model_dump(),
    }
