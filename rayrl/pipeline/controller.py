"""Runs an experiment from wherever it is to its report.

    load ─▶ resume? ─▶ preflight ─▶ folder ─▶ lock ─▶ leftovers ended ─▶ for each unit of the plan:
                                                        done with the same inputs and options ─▶ skip
                                                        else ─▶ Ray Job, or this process ─▶ manifest

The controller holds no state that matters: killed at any point, the same command finds in the run folder, and
in the cluster's jobs, where it was.
"""

from __future__ import annotations

import math
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rayrl.errors import RunError, StageError
from rayrl.pipeline import forced_warm_start, preflight
from rayrl.pipeline.execution import signature, why_run
from rayrl.pipeline.experiment import Experiment, load_experiment
from rayrl.pipeline.failure import failed_in, paragraphs
from rayrl.pipeline.local import local_runner
from rayrl.pipeline.lock import Holder, Lock, hold
from rayrl.pipeline.private_ray import PrivateRay
from rayrl.pipeline.processes import end_private_ray
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.progress_record import note_end
from rayrl.pipeline.ray_session import choose_token
from rayrl.pipeline.records import ROOT, recorded
from rayrl.pipeline.resources import this_machine
from rayrl.pipeline.resume import FORCED, RunOptions, decide
from rayrl.pipeline.run_folder import RUNS, RunFolder, invocation_of, lasting, new_run_folder
from rayrl.pipeline.stages import StageUnit, load, plan
from rayrl.pipeline.stop import first_signal, request_stop, who_requested_stop
from rayrl.pipeline.trial_spec import trials_of

if TYPE_CHECKING:
    # Ray takes a second to import, and reads its environment then: a run imports it where it is needed.
    from rayrl.pipeline.cluster import JobsClient
    from rayrl.pipeline.jobs import JobRunner
    from rayrl.pipeline.working_dir import Package

RunOne = Callable[[StageUnit], bool]
"""Runs a unit; whether it is done, or stopped on request."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A named cluster, and what it is sent."""

    client: JobsClient
    package: Package | None
    """What of the working directory goes along with each job."""


def run_experiment(file: Path, options: RunOptions, view: RunView) -> RunFolder:
    """Runs an experiment to its end, skipping what is done.

    Args:
        file: the experiment file.
        options: how to run it.
        view: told what happens.

    Returns:
        The run folder, with its report; ``require_all`` says whether a part failed while the rest went on.

    Raises:
        ConfigError: the file or an override is wrong.
        ResourceError: the machine or the cluster has no room for a trial.
        EnvError: the environment cannot be built.
        StorageError: nodes of the cluster do not share the run folder.
        RunError: the folder holds another experiment, the cluster does not answer, or the run was stopped.
        RayrlError: what a stage raised.
        KeyboardInterrupt: the run was ended by Ctrl-C.
    """
    experiment = load_experiment(file, options.overrides, smoke=options.smoke)
    found, chosen = decide(file, experiment, options, view)
    if chosen:
        experiment = load_experiment(file, [*options.overrides, *chosen], smoke=options.smoke)
    if options.local:
        choose_token()
    cluster = _preflight(experiment, options, view)
    folder = found or _new_folder(experiment, view)
    with hold(folder.lock_file, timeout_s=math.inf, on_wait=view.waiting) as lock:
        _end_leftovers(lock)
        invocation = invocation_of(file, options.overrides, smoke=options.smoke)
        folder.prepare(experiment, invocation, lasting(chosen))
        folder.stop_file.unlink(missing_ok=True)
        if FORCED in chosen:
            # Chosen just now, whatever was asked for before.
            forced_warm_start.forget(folder)
        forced, experiment = experiment.pretrain.force_warmstart, folder.experiment()
        with _recorded(folder), ExitStack() as stack:
            if kept := forced_warm_start.set_aside(folder, experiment, forced=forced):
                view.say(f"warm start again: policies and checkpoints are kept in {kept}")
            run_one: RunOne | None = None
            for unit in plan(experiment):
                reason = why_run(unit, folder, experiment)
                if reason is None:
                    view.skipped(unit)
                    continue
                folder.set_finished(False)
                if run_one is None:
                    if options.local:
                        run_one = stack.enter_context(local_runner(folder, experiment, view))
                    else:
                        jobs = stack.enter_context(_jobs(cluster, folder, lock, view))
                        jobs.require_shared(unit, signature(unit, folder, experiment))
                        run_one = _runner_of(jobs, folder, experiment)
                view.started(unit, reason)
                _run(unit, folder, run_one, view)
            if not (_failed_in(folder, pretraining=True) or _failed_in(folder, pretraining=False)):
                folder.set_finished(True)
                forced_warm_start.forget(folder)
    return folder


def require_all(folder: RunFolder) -> None:
    """Makes sure that no trial, and no seed's pretraining, failed while the rest of a run went on.

    Args:
        folder: a run that has come to its report.

    Raises:
        StageError: some did; names each of them, with its error.
    """
    experiment = folder.experiment()
    pretrainings, trials = _failed_in(folder, pretraining=True), _failed_in(folder, pretraining=False)
    if pretrainings or trials:
        units = sum(unit.kind.name == "pretrain" for unit in plan(experiment))
        parts = []
        if pretrainings:
            parts.append(f"{len(pretrainings)} of {units * len(experiment.seeds)} pretrainings failed")
        if trials:
            parts.append(f"{len(trials)} of {len([*trials_of(experiment)])} trials failed")
        raise StageError(
            f"{', '.join(parts)}:\n{paragraphs({**pretrainings, **trials})}",
            remedy=f"the rest is done, and reported in {folder.report_file}; mend the cause, and the same "
            "command tries just these again",
        )


def _failed_in(folder: RunFolder, *, pretraining: bool) -> Mapping[str, str]:
    """What failed of pretraining, or of training, by name, with the error."""
    failed: dict[str, str] = {}
    for unit in plan(folder.experiment()):
        if (unit.kind.name == "pretrain") == pretraining:
            failed |= failed_in(folder.stage(unit.name))
    return failed


def _preflight(experiment: Experiment, options: RunOptions, view: RunView) -> Cluster | None:
    """Checks all that can be checked before anything is made; returns the named cluster."""
    client = None
    if options.address is None:
        preflight.check_machine(experiment)
    else:
        from rayrl.pipeline.cluster import connect

        client = connect(options.address)
        if warning := preflight.check_cluster(experiment, client, options.cluster_file):
            view.say(f"warning: {warning}")
    preflight.check_environment(experiment)
    for check in dict.fromkeys(unit.kind.check for unit in plan(experiment) if unit.kind.check):
        if warning := load(check)(experiment):
            view.say(f"warning: {warning}")
    if client is None:
        return None
    from rayrl.pipeline.working_dir import package_of

    # After the checks, which import what the experiment needs.
    package = package_of(Path.cwd(), options.run_dir or RUNS)
    if package:
        view.say(f"sent along with each job: {package}")
    return Cluster(client, package)


def _new_folder(experiment: Experiment, view: RunView) -> RunFolder:
    folder = new_run_folder(experiment)
    view.say(f"new run in {folder}")
    return folder


def _end_leftovers(lock: Lock) -> None:
    """Ends what the last holder's private Ray left behind, if even its guard was killed."""
    before = lock.previous
    if before and before.mark and before.ray_temp and before.is_here:
        end_private_ray(before.mark, Path(before.ray_temp))


def _runner_of(jobs: JobRunner, folder: RunFolder, experiment: Experiment) -> RunOne:
    return lambda unit: jobs.run(unit, signature(unit, folder, experiment))


@contextmanager
def _jobs(cluster: Cluster | None, folder: RunFolder, lock: Lock, view: RunView) -> Iterator[JobRunner]:
    """Runs units as jobs of the named cluster, or else of a private Ray."""
    from rayrl.pipeline.cluster import connect
    from rayrl.pipeline.jobs import JobRunner

    with ExitStack() as stack:
        if cluster is not None:
            yield JobRunner(cluster.client, folder, view, package=cluster.package)
        else:
            view.say("starting a private Ray")
            ray = stack.enter_context(_private_ray(folder, lock))
            access = ray.wait()
            client = connect(access.dashboard, access)
            yield JobRunner(client, folder, view, is_here=True, check=ray.check)


def _private_ray(folder: RunFolder, lock: Lock) -> PrivateRay:
    machine, mark = this_machine(), secrets.token_hex(16)
    ray = PrivateRay(
        cpus=int(machine["CPU"]),
        gpus=int(machine["GPU"]),
        log=folder.logs / "supervisor.log",
        mark=mark,
        hold=lock.descriptor,
    )
    lock.record(Holder(mark=mark, ray_temp=str(ray.temp)))
    return ray


def _run(unit: StageUnit, folder: RunFolder, run_one: RunOne, view: RunView) -> None:
    """Runs a unit; the first signal meanwhile lets it write a checkpoint."""
    start = time.monotonic()
    signals: list[int] = []

    def ask_to_stop(number: int) -> None:
        signals.append(number)
        request_stop(folder, signal.Signals(number).name)
        view.say("stopping at the next checkpoint; once more ends at once", event="stopping")

    how = "failed"
    try:
        with first_signal(ask_to_stop):
            how = "done" if run_one(unit) else "stopped"
    except KeyboardInterrupt:
        how = "interrupted"
        if unit.kind.in_chunks:
            note_end(folder, "stopped", None)
        raise
    except RunError as error:
        # Its process may not have been able to say so.
        if unit.kind.in_chunks:
            note_end(folder, "failed", str(error))
        raise
    finally:
        view.ended(unit, how, time.monotonic() - start)
    if signals == [signal.SIGINT]:
        raise KeyboardInterrupt
    if signals:
        raise SystemExit(128 + signals[0])
    if how == "stopped":
        raise RunError(
            f"the run was stopped by {who_requested_stop(folder)}",
            where=str(folder),
            remedy="the same command goes on",
        )


@contextmanager
def _recorded(folder: RunFolder) -> Iterator[None]:
    """Keeps what the controller says in ``logs/run.jsonl``."""
    with recorded(folder.logs / "run.jsonl", run=folder.record.run_id, logger=f"{ROOT}.run"):
        yield
