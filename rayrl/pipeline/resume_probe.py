"""One stage of a small run as a process that may kill itself: `rayrl verify-resume` compares two of them.

python -m rayrl.pipeline.resume_probe RUN_DIR STAGE [--die-after N]

It runs what the stage's job runs, in this process, and writes the digests of the state that it ends with to
``RUN_DIR/<stage>_digests.json``. With ``--die-after`` it sends itself SIGKILL as soon as it has told of N
iterations, or epochs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.errors import RayrlError
from rayrl.pipeline import stage_error
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.execution import run_unit
from rayrl.pipeline.ray_session import ray_session
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import load, stage_kind, units_of
from rayrl.pipeline.state_digests import algorithm_digests
from rayrl.pipeline.trial_config import build_config
from rayrl.pipeline.trial_evaluations import TrialEvaluations
from rayrl.pipeline.trial_progress import PROGRESS_FILE
from rayrl.pipeline.trial_run import TrialRun
from rayrl.pipeline.trial_spec import pretrain_folder, trials_of
from rayrl.storage.atomic import read_json, write_json

_WHAT = "the digests of a state"


def digests_file(folder: RunFolder, stage: str) -> Path:
    """Where a stage's digests are."""
    return folder.path / f"{stage}_digests.json"


def read_digests(folder: RunFolder, stage: str) -> dict[str, str]:
    """A stage's digests by name.

    Raises:
        IntegrityError: there are none, or they are damaged.
    """
    digests: dict[str, str] = read_json(digests_file(folder, stage), _WHAT)
    return digests


class _Clock:
    """Ends the process after so many iterations, as a crash would."""

    def __init__(self, die_after: int | None) -> None:
        self._left = die_after

    def tick(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class _Cloning(StageContext):
    """A stage's context that hears of each epoch, and of the end."""

    def __init__(self, folder: RunFolder, clock: _Clock) -> None:
        experiment = folder.experiment()
        (unit,) = units_of(stage_kind("pretrain"), experiment)
        super().__init__(experiment, folder, unit, local=True)
        self._clock = clock

    def progress(self, done: float, total: float, unit: str, **values: float) -> None:
        self._clock.tick()

    def learned(self, algorithm: Any) -> None:
        assert self.unit.architecture is not None
        seed = pretrain_folder(self.folder, self.unit.architecture, self.experiment.seeds[0])
        _write(self.folder, "pretrain", algorithm, seed / "curve.jsonl")


class _Training(TrialRun):
    """A trial that tells its state at the end."""

    def _finish(self, algorithm: ColumnarAlgorithm) -> None:
        _write(self._run, "train", algorithm, self.path / PROGRESS_FILE)
        super()._finish(algorithm)


def _write(folder: RunFolder, stage: str, algorithm: ColumnarAlgorithm, curve: Path) -> None:
    digests = algorithm_digests(algorithm, curve, folder.path / "scratch")
    write_json(digests_file(folder, stage), digests, _WHAT)


def _run(folder: RunFolder, stage: str, clock: _Clock) -> None:
    experiment = folder.experiment()
    if stage == "train":
        (spec,) = trials_of(experiment)
        config = build_config(experiment, spec, run_name=folder.record.run_id, gpus=0)
        evaluations = TrialEvaluations(experiment, spec.architecture)
        _Training(spec, folder, config, folder.config, experiment.train, evaluations).train(
            lambda result: clock.tick(), lambda: False
        )
        return
    (unit,) = units_of(stage_kind(stage), experiment)
    if stage == "pretrain":
        load(unit.kind.run)(_Cloning(folder, clock))
    else:
        run_unit(unit, folder, experiment, local=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="resume_probe")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("stage", choices=("collect", "pretrain", "train"))
    parser.add_argument("--die-after", type=int)
    options = parser.parse_args(arguments)
    try:
        with ray_session():
            _run(RunFolder(options.run_dir), options.stage, _Clock(options.die_after))
    except RayrlError as error:
        print(f"{error}\n{stage_error.to_line(error)}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
