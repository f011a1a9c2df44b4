"""What a trial leaves at its end (policy, replay, costs), and how that is forgotten when it trains again."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.algorithms.config import ColumnarConfig
from rayrl.evaluation.latency import LATENCY_FILE
from rayrl.models.policy_folder import save_policy
from rayrl.pipeline import chunk_record, tensorboard
from rayrl.pipeline.evaluation_plan import RESULTS_FILE, STOCHASTIC_FILE
from rayrl.pipeline.trial import TRIAL_FILE
from rayrl.pipeline.trial_progress import PROGRESS_FILE
from rayrl.pipeline.trial_resources import RESOURCES_FILE, read_resources
from rayrl.pipeline.trial_spec import TrialSpec
from rayrl.storage.atomic import storage_errors
from rayrl.storage.manifest import MANIFEST_FILE

FAULTS_FOLDER = "faults"
REPLAY_FOLDER = "replay_buffer"
_OUTCOME = (MANIFEST_FILE, RESULTS_FILE, STOCHASTIC_FILE, LATENCY_FILE, "policy")
"""The manifest first: a process that is killed on the way leaves what is not done."""
_PAST = (tensorboard.FOLDER, chunk_record.FOLDER, FAULTS_FOLDER, REPLAY_FOLDER, TRIAL_FILE, RESOURCES_FILE)

_log = logging.getLogger(__name__)


def forget_outcome(folder: Path) -> None:
    """Removes the policy that training, or pretraining, has ended with, and what was found of it.

    It is called before that begins anew or goes on: whoever fails then must not be taken for who it was.

    Args:
        folder: a trial's, or a seed's pretraining's.

    Raises:
        StorageError: a file cannot be removed.
    """
    _remove(folder, _OUTCOME)


def forget_past(trial: Path) -> None:
    """Removes all that tells of the steps that a trial has lost, but for the lines of its curves.

    Raises:
        StorageError: a file cannot be removed.
    """
    _remove(trial, _PAST)


def _remove(folder: Path, names: tuple[str, ...]) -> None:
    with storage_errors(folder, "what an earlier training left"):
        for name in names:
            if (path := folder / name).is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


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
