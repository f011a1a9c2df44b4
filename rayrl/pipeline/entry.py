"""A stage as a process of its own: what ``jobs/<stage>.py`` and ``rayrl stage`` run.

``python -m rayrl.pipeline.entry STAGE …`` is the job of a stage that has no script.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rayrl.errors import RayrlError, RunError, StageError
from rayrl.pipeline import stage_error
from rayrl.pipeline.execution import require_inputs, run_unit, why_run
from rayrl.pipeline.experiment import Experiment, load_experiment
from rayrl.pipeline.lock import hold
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.ray_session import asked_by_controller, in_ray_job, ray_session
from rayrl.pipeline.records import ROOT
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.stages import StageUnit, stage_kind, units_of
from rayrl.pipeline.stop import first_signal

_log = logging.getLogger(f"{ROOT}.stage")


def main(stage: str, arguments: Sequence[str] | None = None) -> int:
    """The command line of one stage's job; returns the exit code.

    Args:
        stage: the stage's name.
        arguments: ``FILE --run-dir DIR [--set key=value]… [--architecture NAME] [--chunk N]``; the process's
            own when not given.
    """
    parser = argparse.ArgumentParser(prog=stage, description=f"Runs the {stage} stage of an experiment.")
    parser.add_argument("file", type=Path, metavar="FILE", help="experiment file")
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR", help="run folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replaces an option")
    parser.add_argument("--architecture", metavar="NAME", help="only its part of the stage")
    parser.add_argument("--chunk", type=int, metavar="N", help="only this chunk of training")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        run_stage(
            stage, options.file, options.run_dir, options.set, options.architecture, chunk=options.chunk
        )
    except RayrlError as error:
        print(f"{error}\n{stage_error.to_line(error)}", file=sys.stderr, flush=True)
        return 1
    return 0


def run_stage(
    stage: str,
    file: Path,
    run_dir: Path,
    overrides: Sequence[str] = (),
    architecture: str | None = None,
    *,
    chunk: int | None = None,
    view: RunView | None = None,
) -> RunFolder:
    """Runs one stage in this process, as far as it is not done.

    The first Ctrl-C, SIGTERM or SIGHUP asks it to write a checkpoint and end.

    Args:
        stage: the stage's name.
        file: the experiment file; the run folder's own ``config.json`` leaves the run as it is.
        run_dir: the run folder; made when it is not there.
        overrides: ``key.path=value``.
        architecture: the architecture whose part to run; all when not given.
        chunk: the chunk of training to run, from 1; all when not given.
        view: shows how far it is; only the log has that when not given.

    Returns:
        The run folder.

    Raises:
        ConfigError: the file or an override is wrong.
        RunError: the folder is relative within a Ray Job, or holds a run of another experiment.
        StorageError: within a Ray Job, nodes of the cluster do not share the run folder.
        StageError: the experiment does not have this stage, or the stage failed.
    """
    if in_ray_job() and not run_dir.is_absolute():
        raise RunError(
            f"--run-dir {run_dir} is relative, and the working directory of a Ray Job is a copy that is lost",
            remedy="give an absolute path on a file system that all nodes share",
        )
    kind = stage_kind(stage)
    folder = RunFolder(run_dir)
    experiment = _open(folder, file, overrides)
    units = [
        unit
        for unit in units_of(kind, experiment)
        if architecture in (None, unit.architecture)
        and chunk in (None, unit.chunk.number if unit.chunk else 1)
    ]
    if not units:
        part = f" for architecture {architecture!r}" if architecture else ""
        part += f" with a chunk {chunk}" if chunk else ""
        raise StageError(f"the experiment has no stage {stage!r}{part}", where=str(file))
    signals: list[int] = []
    with contextlib.ExitStack() as stack:
        if kind.uses_ray:
            stack.enter_context(ray_session())
            if in_ray_job() and not asked_by_controller():
                from rayrl.pipeline.node_probe import require_shared

                require_shared(folder.stage(units[0].name), experiment.env.id)
        # Ray installs handlers of its own when it is initialized.
        stack.enter_context(first_signal(signals.append))
        for unit in units:
            if view is None:
                is_done = _run(unit, folder, experiment, signals)
            else:
                is_done = _show(unit, folder, experiment, signals, view)
            if not is_done:
                break
    return folder


def _open(folder: RunFolder, file: Path, overrides: Sequence[str]) -> Experiment:
    if file.resolve() == folder.config_file.resolve() and not overrides:
        return folder.experiment()
    experiment = load_experiment(file, overrides)
    folder.check(experiment)
    with hold(folder.lock_file):
        folder.prepare(experiment, invocation_of(file, overrides, smoke=False))
        folder.stop_file.unlink(missing_ok=True)
    return folder.experiment()


def _run(unit: StageUnit, folder: RunFolder, experiment: Experiment, signals: list[int]) -> bool:
    """Runs a unit that is not done; whether it is then, or was asked to stop."""
    if why_run(unit, folder, experiment) is None:
        _log.warning("%s is done already", unit.name)
    elif not run_unit(unit, folder, experiment, interrupted=lambda: bool(signals)):
        _log.warning("%s stopped on request; the same command goes on", unit.name)
        return False
    return True


def _show(
    unit: StageUnit, folder: RunFolder, experiment: Experiment, signals: list[int], view: RunView
) -> bool:
    """The same as ``_run``, with all that `rayrl run` shows of a unit."""
    require_inputs(unit, folder, experiment)
    reason, start, how = why_run(unit, folder, experiment), time.monotonic(), "failed"
    if reason is None:
        view.skipped(unit)
        return True
    view.started(unit, reason)
    try:
        with view.records_of(unit):
            done = run_unit(unit, folder, experiment, interrupted=lambda: bool(signals))
        how = "done" if done else "stopped"
    finally:
        view.ended(unit, how, time.monotonic() - start)
    if how == "stopped":
        view.say(f"{unit.name}: the same command goes on")
    return how == "done"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
