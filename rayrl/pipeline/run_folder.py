"""The folder of one run of an experiment.

config.json      the experiment, complete; itself an experiment file
run.json         what was asked for, when, and the hashes of the inputs
environment.json what it was trained on: versions, hardware
inputs/          copies of the files that the experiment names, by hash
logs/            <unit>.log as the job printed it; <unit>.jsonl and <trial>.jsonl as structured records
stages/<unit>/   manifest.json (its presence says that the unit is done), job.json, lock
training_progress.json   how far training is, chunk by chunk
collect/  <architecture>/  tune/  report/  all_results.json      what the stages write
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rayrl.config import Config
from rayrl.errors import IntegrityError, RayrlError, RunError
from rayrl.pipeline.experiment import Experiment, load_experiment
from rayrl.storage.atomic import (
    atomic_file,
    atomic_folder,
    read_json,
    remove_leftovers,
    storage_errors,
    write_json,
)
from rayrl.storage.hashing import sha256_path
from rayrl.storage.versions import versions

LOCK_FILE = ".lock"
RUNS = Path("runs")
"""Where runs are made unless a folder is named."""
_RECORD_FILE = "run.json"
_ONCE = ("pretrain.force_warmstart=", "resume=")
"""Overrides that are for one call, and make no other run."""
_FOREIGN = "name a new folder, or leave --run-dir out"


class Invocation(Config):
    """What the user asked for."""

    file: str
    """Absolute path of the experiment file."""
    overrides: tuple[str, ...] = ()
    smoke: bool = False


class InputCopy(Config):
    """A file or folder that the experiment names, and its copy in the run folder."""

    source: str
    copy_: str
    """Relative to the run folder."""
    sha256: str


class RunRecord(Config):
    """What is known of a run."""

    run_id: str
    """Starts the ids of its Ray Jobs."""
    invocation: Invocation
    created: str
    """ISO 8601, UTC."""
    finished: str | None = None
    """When all stages were done; null while any is not."""
    chosen: tuple[str, ...] = ()
    """Overrides beside those of the invocation, which were chosen when `rayrl run` asked; they stay."""
    inputs: dict[str, InputCopy]
    """By the option that names it."""
    versions: dict[str, str]


class RunFolder:
    """A run's folder.

    Args:
        path: the folder; need not exist before ``prepare``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def __str__(self) -> str:
        return str(self.path)

    @property
    def config_file(self) -> Path:
        """The experiment, complete."""
        return self.path / "config.json"

    @property
    def lock_file(self) -> Path:
        """Held by the controller, and by its private Ray until that has ended."""
        return self.path / LOCK_FILE

    @property
    def stop_file(self) -> Path:
        """Its presence asks the running stage to write a checkpoint and end."""
        return self.path / "stop.json"

    @property
    def logs(self) -> Path:
        """Logs by unit."""
        return self.path / "logs"

    @property
    def report_file(self) -> Path:
        """The page that the report stage writes."""
        return self.path / "report" / "report.html"

    def stage(self, unit: str) -> Path:
        """The folder of a unit's manifest, job record and lock."""
        return self.path / "stages" / unit

    @property
    def exists(self) -> bool:
        """Whether a run was prepared here."""
        return (self.path / _RECORD_FILE).exists()

    @property
    def record(self) -> RunRecord:
        """What is known of the run.

        Raises:
            RunError: the folder holds no run.
        """
        if not self.exists:
            raise RunError(
                "there is no run in this folder",
                where=str(self.path),
                remedy="name a run folder, such as one below runs/",
            )
        file = self.path / _RECORD_FILE
        return RunRecord.parse(read_json(file, "the run's record"), where=str(file))

    @property
    def config(self) -> dict[str, Any]:
        """The experiment as plain JSON values; its paths are relative to this folder.

        Raises:
            IntegrityError: the file is missing or damaged.
        """
        if not self.config_file.exists():
            raise IntegrityError(
                "the run's experiment is missing",
                where=str(self.config_file),
                remedy="if this is a copy of a run, copy it again, whole; or name another folder",
            )
        values: dict[str, Any] = read_json(self.config_file, "the run's experiment")
        return values

    def experiment(self) -> Experiment:
        """The run's experiment.

        Raises:
            ConfigError: ``config.json`` was altered into something that is no experiment.
        """
        return load_experiment(self.config_file)

    def check(self, experiment: Experiment) -> None:
        """Makes sure that the folder is free for, or holds, a run of the experiment.

        Raises:
            RunError: it holds a run of another experiment, or other files.
        """
        if self.exists:
            name, env = self._holds()
            if (name, env) != (experiment.name, experiment.env.id):
                raise RunError(
                    f"the folder holds a run of another experiment: {name!r} on {env!r}, "
                    f"not {experiment.name!r} on {experiment.env.id!r}",
                    where=str(self.path),
                    remedy=_FOREIGN,
                )
        elif self.path.is_dir() and any(entry.name != LOCK_FILE for entry in self.path.iterdir()):
            raise RunError("the folder holds files, but no run", where=str(self.path), remedy=_FOREIGN)

    def prepare(
        self, experiment: Experiment, invocation: Invocation, chosen: tuple[str, ...] | None = None
    ) -> None:
        """Makes the folder a run of the experiment, or updates the run that it holds; its lock must be held.

        Args:
            experiment: the experiment, with all overrides.
            invocation: what the user asked for.
            chosen: the overrides that were chosen when the user was asked; None leaves them as they are.

        Raises:
            RunError: the folder holds a run of another experiment, or other files, or lies within an input.
            StorageError: the disk is full or not writable.
        """
        self.check(experiment)
        with storage_errors(self.path, "the run folder"):
            for folder in (self.path, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.path)
        copies = {keys: self._copy(source) for keys, source in experiment.input_files()}
        values = experiment.to_json()
        for (*keys, last), copy in copies.items():
            target = values
            for key in keys:
                target = target[key]
            target[last] = copy.copy_
        # They say what this call is to do, not what the run is.
        values["pretrain"]["force_warmstart"] = False
        values["resume"] = "auto"
        created = self.record if self.exists else None
        now = datetime.now(UTC)
        record = RunRecord(
            run_id=created.run_id if created else f"{experiment.name}_{now:%Y%m%d-%H%M%S}",
            invocation=invocation,
            created=created.created if created else now.isoformat(timespec="seconds"),
            finished=created.finished if created else None,
            chosen=chosen if chosen is not None else created.chosen if created else (),
            inputs={".".join(keys): copy for keys, copy in copies.items()},
            versions=versions(),
        )
        write_json(self.config_file, values, "the run's experiment")
        self._write(record)

    def set_finished(self, finished: bool) -> None:
        """Notes whether all stages are done.

        Raises:
            StorageError: the disk is full or not writable.
        """
        record = self.record
        if finished != bool(record.finished):
            when = datetime.now(UTC).isoformat(timespec="seconds") if finished else None
            self._write(record.model_copy(update={"finished": when}))

    def _write(self, record: RunRecord) -> None:
        write_json(self.path / _RECORD_FILE, record.model_dump(), "the run's record")

    def _holds(self) -> tuple[str, str]:
        """Name and environment of the run's experiment, without checking its other options."""
        values = self.config
        try:
            return values["name"], values["env"]["id"]
        except (KeyError, TypeError):
            raise IntegrityError(
                "the run's experiment lacks name or env.id", where=str(self.config_file), remedy=_FOREIGN
            ) from None

    def _copy(self, source: Path) -> InputCopy:
        if self.path.is_relative_to(source):
            raise RunError(
                f"the run folder lies within the input {source}, which it would copy into itself",
                where=str(self.path),
                remedy="name the folder or file that is meant, or a run folder elsewhere",
            )
        digest = sha256_path(source)
        relative = Path("inputs", digest[:12], source.name)
        copy = self.path / relative
        if not copy.exists():
            if source.is_dir():
                with atomic_folder(copy, "a copy of an input") as folder:
                    shutil.copytree(source, folder, dirs_exist_ok=True)
            else:
                with atomic_file(copy, "a copy of an input") as target, source.open("rb") as file:
                    shutil.copyfileobj(file, target)
        return InputCopy(source=str(source), copy_=str(relative), sha256=digest)


def new_run_folder(experiment: Experiment, root: Path = RUNS) -> RunFolder:
    """Makes an empty folder ``<root>/<name>_<timestamp>``.

    Raises:
        StorageError: the disk is full or not writable.
    """
    with storage_errors(root, "the run folder"):
        root.mkdir(parents=True, exist_ok=True)
        while True:
            path = root / f"{experiment.name}_{datetime.now():%Y%m%d-%H%M%S}"
            try:
                path.mkdir()
            except FileExistsError:
                # Another run began in this second.
                time.sleep(0.2)
            else:
                return RunFolder(path)


def unfinished_run_folder(
    experiment: Experiment, invocation: Invocation, root: Path = RUNS
) -> RunFolder | None:
    """The newest folder below ``root`` with an unfinished run of the same file and overrides.

    A run from before the file's name or environment was changed is another experiment's.
    """
    found = []
    for folder in (RunFolder(path.parent) for path in root.glob(f"*/{_RECORD_FILE}")):
        try:
            record = folder.record
            folder.check(experiment)
        except RayrlError:
            # Neither a damaged run nor another experiment's is a reason to refuse a new one.
            continue
        if record.invocation == invocation and record.finished is None:
            found.append((record.created, folder.path.name, folder))
    return max(found)[-1] if found else None


def invocation_of(file: Path, overrides: Sequence[str], *, smoke: bool) -> Invocation:
    """What the user asked for, comparable between calls from different folders."""
    return Invocation(file=str(file.resolve()), overrides=lasting(overrides), smoke=smoke)


def lasting(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those of some overrides that are not for one call only."""
    return tuple(override for override in overrides if not override.startswith(_ONCE))
