"""The train stage: a chunk of all unfinished trials as one new Tune experiment.

Never ``Tuner.restore``: each start is a new experiment over the trials that are not done with the chunk, and
each trial goes on from its own newest checkpoint. So more seeds or a longer training add only what is
missing. An uncut training is one chunk.

A trial that fails for good is recorded (``failure.json``), and the others go on: to the end of the chunk, and
in the chunks and stages that follow. The chunk's manifest names it, so that the same command tries it again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayError, RayTaskError

from rayrl.algorithms.options import TrainOptions
from rayrl.errors import RayrlError, StageError, StorageError
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.failure import (
    FAILED,
    Failure,
    Kind,
    forget_failure,
    headline,
    paragraphs,
    read_failure,
    write_failure,
)
from rayrl.pipeline.hardware import record_environment
from rayrl.pipeline.node_probe import check_here
from rayrl.pipeline.out_of_memory import is_out_of_memory, memory_advice
from rayrl.pipeline.records import recorded
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.shared_folder import Mark
from rayrl.pipeline.stages import Chunk
from rayrl.pipeline.training_progress import TrainingProgress
from rayrl.pipeline.trial import read_trial, reopen_trial
from rayrl.pipeline.trial_config import build_config
from rayrl.pipeline.trial_evaluations import TrialEvaluations
from rayrl.pipeline.trial_resources import read_resources
from rayrl.pipeline.trial_run import TrialRun
from rayrl.pipeline.trial_spec import TrialSpec, trials_of
from rayrl.pipeline.tune_callbacks import (
    ERROR,
    KIND,
    RETRIES,
    StoppedWaitingError,
    StopWatch,
    TuneProgress,
    spec_of,
)
from rayrl.pipeline.tune_memory import memory_is_lost_like_a_process

_log = logging.getLogger(__name__)


def run(context: StageContext) -> StageOutputs | None:
    """Trains every trial that is not done with the chunk.

    Raises:
        StageError: all trials failed; the same command tries them again.
        ResourceError: the cluster did not give the first trial what it asks for in time.
    """
    progress = TrainingProgress(context.folder, context.experiment)
    progress.write("running")
    try:
        outputs = _run_chunk(context, progress)
    except Exception as error:
        progress.fail(error)
        raise
    if outputs is None:
        progress.write("stopped")
    elif failed := outputs.extra.get(FAILED):
        progress.write("failed" if chunk_of(context).is_last else "running", error="\n".join(failed.values()))
    else:
        progress.write("completed" if chunk_of(context).is_last else "running")
    return outputs


def chunk_of(context: StageContext) -> Chunk:
    """The chunk that a unit trains; all of training is one where it is not cut."""
    return context.unit.chunk or Chunk(1, 1, context.experiment.train.total_steps)


def _run_chunk(context: StageContext, progress: TrainingProgress) -> StageOutputs | None:
    trials, number = list(trials_of(context.experiment)), chunk_of(context).number
    failures = dict(_failed_before(context, trials))
    runs = {
        spec: make_run(context.folder, spec, chunk_of(context)) for spec in trials if spec not in failures
    }
    record_environment(context.folder.path / "environment.json")
    unfinished = {spec: trial for spec, trial in runs.items() if trial.reason_to_run() is not None}
    for spec in runs:
        if spec not in unfinished:
            forget_failure(spec.folder(context.folder))
            context.log.info("%s is done already", spec.name)
    for spec in unfinished:
        reopen_trial(context.folder, *astuple(spec))
    known, told = {*_warnings(context, trials)}, dict[str, tuple[Kind, str]]()
    if unfinished and context.local:
        _train_here(context, list(unfinished.values()), progress)
    elif unfinished:
        told = _tune(context, unfinished, progress, done=len(trials) - len(unfinished))
    for warning in dict.fromkeys(_warnings(context, trials)):
        if warning not in known:
            context.warn(warning)
    left = [spec for spec, trial in runs.items() if trial.reason_to_run() is not None]
    if left and context.stop_requested():
        return None
    for spec in left:
        kind, error = told.get(spec.name) or _loss_of(spec, context)
        resources = read_resources(spec.folder(context.folder))
        failures[spec] = Failure(name=spec.name, kind=kind, error=error, chunk=number, resources=resources)
        write_failure(spec.folder(context.folder), failures[spec])
    if len(failures) == len(trials):
        raise StageError(
            f"{len(failures)} of {len(trials)} trials failed:\n"
            + paragraphs({spec.name: failure.error for spec, failure in failures.items()}),
            remedy="mend the cause; the same command goes on from their newest checkpoints",
        )
    for spec, failure in failures.items():
        context.warn(f"{spec.name} failed, and the others go on: {headline(failure.error)}")
    return StageOutputs(
        tuple(trial.chunk_file() for spec, trial in runs.items() if spec not in failures),
        extra={FAILED: {spec.name: failure.error for spec, failure in failures.items()}} if failures else {},
    )


def _failed_before(context: StageContext, trials: list[TrialSpec]) -> Iterator[tuple[TrialSpec, Failure]]:
    """Trials that cannot be trained now: they failed in an earlier chunk, or have no policy to start from."""
    number = chunk_of(context).number
    for spec in trials:
        home, start = spec.folder(context.folder), spec.starting_policy(context.folder)
        failure = read_failure(home)
        if failure is not None and failure.chunk < number:
            yield spec, failure
        elif start is not None and (pretraining := read_failure(start.parent)) is not None:
            # It must not begin from fresh weights: that would be another condition.
            error = f"its pretraining failed: {headline(pretraining.error)}"
            failure = Failure(name=spec.name, kind="no_pretraining", error=error, chunk=number)
            write_failure(home, failure)
            yield spec, failure


def _warnings(context: StageContext, trials: list[TrialSpec]) -> Iterator[str]:
    """What the report will warn of as well."""
    for spec in trials:
        state = read_trial(context.folder, spec.architecture, spec.condition, spec.seed)
        found = (*state.warnings, *state.incidents) if state else ()
        yield from (f"{spec.name}: {warning}" for warning in found)


def make_run(
    folder: RunFolder, spec: TrialSpec, chunk: Chunk | None = None, mark: Mark | None = None
) -> TrialRun:
    """A trial of the run that a folder holds, ready to train.

    Args:
        folder: the run folder.
        spec: the trial.
        chunk: the part of training to do; None for all of it.
        mark: what the learners' nodes must see of the folder before they write there.
    """
    experiment = folder.experiment()
    config = build_config(experiment, spec, run_name=folder.record.run_id, gpus=_gpus())
    return TrialRun(
        spec,
        folder,
        config,
        folder.config,
        experiment.train,
        TrialEvaluations(experiment, spec.architecture),
        chunk=chunk,
        mark=mark,
    )


def _gpus() -> float:
    return float(ray.cluster_resources().get("GPU", 0.0)) if ray.is_initialized() else 0.0


def _tune(
    context: StageContext, trials: dict[TrialSpec, TrialRun], training: TrainingProgress, *, done: int
) -> dict[str, tuple[Kind, str]]:
    """Trains trials side by side, as far as the cluster has room; what those that failed told, by name."""
    attempt, run_id = time.strftime("%Y%m%d-%H%M%S"), context.folder.record.run_id
    storage = context.folder.path / "tune"
    mark = Mark.write(storage / attempt)
    stop_file = mark.folder / "stop"
    config = build_config(context.experiment, next(iter(trials)), run_name="", gpus=_gpus())
    resources = config.algo_class.default_resource_request(config)
    progress = TuneProgress(
        context, trials, training, end=chunk_of(context).end, done=done, resources=resources
    )
    # Tune's newer output prints a banner even if it is to be silent, with a folder for TensorBoard in which
    # nothing stays.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    tuner = tune.Tuner(
        tune.with_resources(_train_trial, resources),
        param_space={
            "run_dir": str(context.folder),
            "stop_file": str(stop_file),
            "nonce": mark.nonce,
            "chunk": asdict(chunk_of(context)),
            "log": f"logs/{context.unit.name}.log",
            "trial": tune.grid_search([_plain(spec) for spec in trials]),
        },
        tune_config=tune.TuneConfig(
            trial_name_creator=lambda trial: f"{run_id}-{spec_of(trial).name}",
            trial_dirname_creator=lambda trial: spec_of(trial).name,
            reuse_actors=False,
        ),
        run_config=tune.RunConfig(
            name=attempt,
            storage_path=str(storage),
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[progress],
            verbose=0,
        ),
    )
    with StopWatch(context, stop_file), memory_is_lost_like_a_process():
        try:
            tuner.fit()
        except StoppedWaitingError:
            context.log.info("no trial could start before the run was to stop")
        finally:
            mark.remove()
    return progress.failed


def _train_here(context: StageContext, trials: list[TrialRun], progress: TrainingProgress) -> None:
    """One trial after the other in this process, where breakpoints work and errors keep their traceback."""
    chunk = chunk_of(context)
    for index, trial in enumerate(trials):

        def report(result: dict[str, Any], before: int = index * chunk.end) -> None:
            step = int(result["num_env_steps_sampled_lifetime"])
            context.progress(before + min(step, chunk.end), len(trials) * chunk.end, "steps")
            progress.refresh()

        try:
            with _threads_of_a_process(context.experiment.train):
                if not trial.train(report, context.stop_requested):
                    return
        except RayrlError as error:
            trial.fail(str(error))
            raise


@contextmanager
def _threads_of_a_process(train: TrainOptions) -> Iterator[None]:
    """As many threads of PyTorch as Ray would give the trial a process; they decide on the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(int(train.trial_bundles(0.0)[0]["CPU"]))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _plain(spec: TrialSpec) -> dict[str, Any]:
    return {"architecture": spec.architecture, "condition": spec.condition, "seed": spec.seed}


def _train_trial(config: dict[str, Any]) -> None:
    """One trial, as Tune calls it in an actor of its own.

    Its results carry the run's id and what the trial is, by which Tune's tables can be filtered and grouped.
    """
    stop_file = Path(config["stop_file"])
    mark = Mark(stop_file.parent, config["nonce"])
    try:
        check_here(mark)
    except StorageError as error:
        # It may be a node that has come since the run began; nothing may be written here.
        tune.report({ERROR: str(error), KIND: "error"})
        return
    folder = RunFolder(Path(config["run_dir"]))
    trial = make_run(folder, TrialSpec(**config["trial"]), Chunk(**config["chunk"]), mark)
    if trial.reason_to_run() is None:
        return

    def stop_requested() -> bool:
        return stop_file.exists() or folder.stop_file.exists()

    if stop_requested():
        return
    run = folder.record.run_id
    tags = {"run_id": run, **config["trial"]}
    try:
        with recorded(folder.logs / f"{trial.spec.name}.jsonl", run=run):
            trial.train(lambda result: tune.report(result | tags), stop_requested)
    except RayrlError as error:
        _fail(trial, folder, error, str(error))
    except Exception as error:
        if isinstance(error, RayError) and not isinstance(error, RayTaskError):
            # A process of the trial was lost: Tune starts it again.
            raise
        _log.exception("%s failed", trial.spec.name)
        message = f"{type(error).__name__}: {error}\n  its traceback is in {config['log']}"
        _fail(trial, folder, error, message)


def _fail(trial: TrialRun, folder: RunFolder, error: Exception, message: str) -> None:
    """Ends a trial for which to try again would end the same way."""
    kind: Kind = "error"
    if is_out_of_memory(error):
        kind = "out_of_memory"
        message += f"\n  {memory_advice(folder.experiment().train, read_resources(trial.path))}"
    # The trial's folder alone would not do, since its disk may be full.
    tune.report({ERROR: message, KIND: kind})
    try:
        trial.fail(message)
    except StorageError as error:
        _log.error("%s", error)


def _loss_of(spec: TrialSpec, context: StageContext) -> tuple[Kind, str]:
    """What is said of a trial of which nobody has told anything."""
    log = context.folder.logs / f"{context.unit.name}.log"
    state = read_trial(context.folder, spec.architecture, spec.condition, spec.seed)
    if state is None:
        return "lost", f"it never started; see {log}"
    lost = f"its processes were lost {RETRIES + 1} times, the last time at step {state.step}; see {log}"
    return "lost", lost
