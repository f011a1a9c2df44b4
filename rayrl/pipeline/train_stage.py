"""The train stage: a chunk of all unfinished trials as one new Tune experiment.

Never ``Tuner.restore``: each start is a new experiment over the trials that are not done with the chunk, and
each trial goes on from its own newest checkpoint. So more seeds or a longer training add only what is
missing. An uncut training is one chunk.
"""

from __future__ import annotations

import logging
import math
import os
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError, RayTaskError
from ray.tune import Callback

from rayrl.errors import RayrlError, ResourceError, StageError, StorageError
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.hardware import record_environment
from rayrl.pipeline.node_probe import check_here
from rayrl.pipeline.records import recorded
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.shared_folder import Mark
from rayrl.pipeline.stages import Chunk
from rayrl.pipeline.training_progress import TrainingProgress
from rayrl.pipeline.trial import read_trial
from rayrl.pipeline.trial_evaluations import TrialEvaluations
from rayrl.pipeline.trial_run import TrialRun
from rayrl.pipeline.trial_spec import TrialSpec, build_config, trials_of

_POLL_S = 0.5
_RETRIES = 3
"""How often Tune starts a trial again whose process was lost."""
_ERROR = "error"
"""Key of the result by which a trial tells why it failed."""

_log = logging.getLogger(__name__)


def run(context: StageContext) -> StageOutputs | None:
    """Trains every trial that is not done with the chunk.

    Raises:
        StageError: trials failed; the others are done, and the same command tries the failed ones again.
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
    else:
        progress.write("completed" if chunk_of(context).is_last else "running")
    return outputs


def chunk_of(context: StageContext) -> Chunk:
    """The chunk that a unit trains; all of training is one where it is not cut."""
    return context.unit.chunk or Chunk(1, 1, context.experiment.train.total_steps)


def _run_chunk(context: StageContext, progress: TrainingProgress) -> StageOutputs | None:
    trials, errors = list(trials_of(context.experiment)), {}
    runs = {spec: make_run(context.folder, spec, chunk_of(context)) for spec in trials}
    record_environment(context.folder.path / "environment.json")
    unfinished = {spec: trial for spec, trial in runs.items() if trial.reason_to_run() is not None}
    for spec in trials:
        if spec not in unfinished:
            context.log.info("%s is done already", spec.name)
    known = {*_warnings(context, trials)}
    if unfinished and context.local:
        _train_here(context, list(unfinished.values()), progress)
    elif unfinished:
        errors = _tune(context, unfinished, progress, done=len(trials) - len(unfinished))
    for warning in dict.fromkeys(_warnings(context, trials)):
        if warning not in known:
            context.warn(warning)
    left = [spec for spec, trial in runs.items() if trial.reason_to_run() is not None]
    if left and context.stop_requested():
        return None
    if left:
        raise StageError(
            "\n".join(f"{spec.name}: {errors.get(spec.name) or _loss_of(spec, context)}" for spec in left),
            where=f"{len(left)} of {len(trials)} trials failed",
            remedy="mend the cause; the same command goes on from their newest checkpoints",
        )
    return StageOutputs(tuple(trial.chunk_file() for trial in runs.values()))


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
) -> dict[str, str]:
    """Trains trials side by side, as far as the cluster has room; what those that failed told, by name."""
    attempt, run_id = time.strftime("%Y%m%d-%H%M%S"), context.folder.record.run_id
    storage = context.folder.path / "tune"
    mark = Mark.write(storage / attempt)
    stop_file = mark.folder / "stop"
    config = build_config(context.experiment, next(iter(trials)), run_name="", gpus=_gpus())
    resources = config.algo_class.default_resource_request(config)
    progress = _Progress(context, trials, training, done, resources)
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
            trial_name_creator=lambda trial: f"{run_id}-{_name(trial)}",
            trial_dirname_creator=_name,
            reuse_actors=False,
        ),
        run_config=tune.RunConfig(
            name=attempt,
            storage_path=str(storage),
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            callbacks=[progress],
            verbose=0,
        ),
    )
    with _StopWatch(context, stop_file):
        try:
            tuner.fit()
        except _StoppedWaitingError:
            context.log.info("no trial could start before the run was to stop")
        finally:
            mark.remove()
    return progress.errors


def _train_here(context: StageContext, trials: list[TrialRun], progress: TrainingProgress) -> None:
    """One trial after the other in this process, where breakpoints work and errors keep their traceback."""
    chunk = chunk_of(context)
    for index, trial in enumerate(trials):

        def report(result: dict[str, Any], before: int = index * chunk.end) -> None:
            step = int(result["num_env_steps_sampled_lifetime"])
            context.progress(before + min(step, chunk.end), len(trials) * chunk.end, "steps")
            progress.refresh()

        try:
            if not trial.train(report, context.stop_requested):
                return
        except RayrlError as error:
            trial.fail(str(error))
            raise


def _plain(spec: TrialSpec) -> dict[str, Any]:
    return {"architecture": spec.architecture, "condition": spec.condition, "seed": spec.seed}


def _name(trial: Any) -> str:
    """The name of one of Tune's trials in the run; Tune's own has the run's id before it."""
    return TrialSpec(**trial.config["trial"]).name


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
        tune.report({_ERROR: str(error)})
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
        _fail(trial, str(error))
    except Exception as error:
        if isinstance(error, RayError) and not isinstance(error, RayTaskError):
            # A process of the trial was lost: Tune starts it again.
            raise
        _log.exception("%s failed", trial.spec.name)
        _fail(trial, f"{type(error).__name__}: {error}\n  its traceback is in {config['log']}")


def _fail(trial: TrialRun, message: str) -> None:
    """Ends a trial for which to try again would end the same way."""
    # The trial's folder alone would not do, since its disk may be full.
    tune.report({_ERROR: message})
    try:
        trial.fail(message)
    except StorageError as error:
        _log.error("%s", error)


def _loss_of(spec: TrialSpec, context: StageContext) -> str:
    log = context.folder.logs / f"{context.unit.name}.log"
    state = read_trial(context.folder, spec.architecture, spec.condition, spec.seed)
    if state is None:
        return f"it never started; see {log}"
    return f"its processes were lost {_RETRIES + 1} times, the last time at step {state.step}; see {log}"


def _group(experiment: Experiment, spec: TrialSpec) -> str:
    """What is compared: the architecture and the condition, each where there are several."""
    names = [spec.architecture] if len(experiment.architectures) > 1 else []
    return " ".join([*names, spec.condition] if len(experiment.conditions) > 1 else names)


class _StopWatch:
    """Passes the request to stop on to the trials, which may run on other nodes."""

    def __init__(self, context: StageContext, stop_file: Path) -> None:
        self._context = context
        self._stop_file = stop_file
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stop-watch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_S):
            if self._context.stop_requested():
                self._stop_file.touch()
                return


class _StoppedWaitingError(Exception):
    """The run is to stop while Tune waits for room: no trial is there to notice."""


class _Progress(Callback):
    """Tells how far the trials are, and gives up when the cluster does not give what they ask for."""

    def __init__(
        self,
        context: StageContext,
        trials: dict[TrialSpec, TrialRun],
        training: TrainingProgress,
        done: int,
        resources: Any,
    ) -> None:
        self._context = context
        self._training = training
        self._end = chunk_of(context).end
        self._steps = {spec.name: trial.step for spec, trial in trials.items()}
        self._groups = {spec.name: _group(context.experiment, spec) for spec in trials}
        self._returns: dict[str, float] = {}
        self._done = done
        self._resources = resources
        self._deadline = time.monotonic() + context.experiment.train.resource_timeout_s
        self._started = False
        self.errors: dict[str, str] = {}
        """What those that failed told, by the trial's name."""

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if not self._started and any(trial.status != "PENDING" for trial in trials):
            self._started = True
        if not self._started and self._context.stop_requested():
            raise _StoppedWaitingError
        if not self._started and time.monotonic() > self._deadline:
            raise ResourceError(
                f"no trial could start within {self._context.experiment.train.resource_timeout_s:g} s: "
                f"each asks for {self._resources.required_resources}, and the cluster has "
                f"{ray.cluster_resources()}",
                where="train",
                remedy="ask for less (train.env_runners, train.learners, …), or add nodes",
            )

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if _ERROR in result:
            self.errors[_name(trial)] = result[_ERROR]
            return
        total = self._end
        self._steps[_name(trial)] = int(result["num_env_steps_sampled_lifetime"])
        mean = float(result["env_runners"]["episode_return_mean"])
        if not math.isnan(mean):
            self._returns[_name(trial)] = mean
        values = {
            f"return {group}".rstrip(): statistics.fmean(
                value for name, value in self._returns.items() if self._groups[name] == group
            )
            for group in dict.fromkeys(self._groups[name] for name in self._returns)
        }
        done = sum(min(steps, total) for steps in self._steps.values()) + self._done * total
        self._context.progress(done, total * (len(self._steps) + self._done), "steps", **values)
        self._training.refresh()
