"""How far each trial is, as the train stage writes it and ``rayrl status`` and the report read it.

``<architecture>/<condition>/seed_<n>/trial.json`` is written anew after every checkpoint.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt

from rayrl.config import Config
from rayrl.errors import ConfigError, IntegrityError
from rayrl.pipeline.run_folder import RunFolder
from rayrl.storage.atomic import read_json, storage_errors, write_json
from rayrl.storage.manifest import MANIFEST_FILE

TRIAL_FILE = "trial.json"
NO_STATE = f"{TRIAL_FILE} is missing or damaged"
_WHAT = "a trial's state"

_log = logging.getLogger(__name__)


class TrialState(Config):
    """How far one trial is."""

    architecture: str
    condition: str
    seed: int
    state: Literal["running", "stopped", "finished", "failed"]
    step: NonNegativeInt
    """Environment steps so far."""
    total_steps: int
    resumed_from: tuple[int, ...] = ()
    """The step of the checkpoint that each restart went on from."""
    exact: bool = True
    """Whether it went as if undisturbed; not where a worker or what replay held was lost, or a resumed
    environment cannot tell its state."""
    metrics: dict[str, float]
    """The newest metrics worth showing, by RLlib's keys."""
    error: str | None = None
    """Why it failed."""
    stop_reason: str | None = None
    """Why it ended before its last step, as its options told it to."""
    warnings: tuple[str, ...] = ()
    """What should not have happened, a sentence each with the option to change."""
    incidents: tuple[str, ...] = ()
    """The same of what happened to its checkpoints and processes, over all its parts."""


def trial_folder(folder: RunFolder, architecture: str, condition: str, seed: int) -> Path:
    """Where a trial keeps its checkpoints, policy and state."""
    return folder.path / architecture / condition / f"seed_{seed}"


def write_trial(folder: RunFolder, state: TrialState) -> None:
    """Replaces a trial's state.

    Raises:
        StorageError: the disk is full or not writable.
    """
    home = trial_folder(folder, state.architecture, state.condition, state.seed)
    write_json(home / TRIAL_FILE, state.model_dump(), _WHAT)


def read_trial(folder: RunFolder, architecture: str, condition: str, seed: int) -> TrialState | None:
    """A trial's state; None before it has written any, and where it is damaged, which is logged."""
    return _read(trial_folder(folder, architecture, condition, seed) / TRIAL_FILE)


def read_trials(folder: RunFolder) -> list[TrialState]:
    """The trials that have written their state, by architecture, condition and seed; not those damaged."""
    states = [state for file in folder.path.glob(f"*/*/seed_*/{TRIAL_FILE}") if (state := _read(file))]
    return sorted(states, key=lambda state: (state.architecture, state.condition, state.seed))


def _read(file: Path) -> TrialState | None:
    try:
        return TrialState.parse(read_json(file, _WHAT), where=str(file)) if file.exists() else None
    except (ConfigError, IntegrityError) as error:
        _log.warning("what a trial says of itself is passed over, and written anew: %s", error)
        return None


def reopen_trial(folder: RunFolder, architecture: str, condition: str, seed: int) -> None:
    """Takes back that a trial is done, which it was with other inputs or options; what it has stays for now.

    Raises:
        StorageError: the disk is full or not writable.
    """
    home = trial_folder(folder, architecture, condition, seed)
    with storage_errors(home, "a trial"):
        (home / MANIFEST_FILE).unlink(missing_ok=True)
    state = read_trial(folder, architecture, condition, seed)
    if state is not None and state.state == "finished":
        write_trial(folder, state.model_copy(update={"state": "stopped"}))
