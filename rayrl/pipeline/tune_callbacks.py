"""What looks after Tune while it trains: progress for who watches, and ends where it would wait for ever."""

from __future__ import annotations

import math
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback

from rayrl.errors import ResourceError
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.failure import Kind
from rayrl.pipeline.out_of_memory import is_out_of_memory, memory_advice
from rayrl.pipeline.training_progress import TrainingProgress
from rayrl.pipeline.trial_resources import read_resources
from rayrl.pipeline.trial_run import TrialRun
from rayrl.pipeline.trial_spec import TrialSpec

RETRIES = 3
"""How often Tune starts a trial again whose process was lost."""
ERROR, KIND = "error", "kind"
"""Keys of the result by which a trial tells why it failed."""
_POLL_S = 0.5


def spec_of(trial: Any) -> TrialSpec:
    """What one of Tune's trials trains; Tune's own name of it has the run's id before that."""
    return TrialSpec(**trial.config["trial"])


class StopWatch:
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


class StoppedWaitingError(Exception):
    """The run is to stop while Tune waits for room: no trial is there to notice."""


class TuneProgress(Callback):
    """Tells how far the trials are, and gives up when the cluster does not give what they ask for."""

    def __init__(
        self,
        context: StageContext,
        trials: dict[TrialSpec, TrialRun],
        training: TrainingProgress,
        *,
        end: int,
        done: int,
        resources: Any,
    ) -> None:
        self._context = context
        self._training = training
        self._end = end
        self._steps = {spec.name: trial.step for spec, trial in trials.items()}
        self._groups = {spec.name: _group(context.experiment, spec) for spec in trials}
        self._returns: dict[str, float] = {}
        self._done = done
        self._resources = resources
        self._deadline = time.monotonic() + context.experiment.train.resource_timeout_s
        self._started = False
        self.failed: dict[str, tuple[Kind, str]] = {}
        """Of those that failed, how and with which error, by the trial's name."""

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Gives up waiting for room, when the run is to stop or the time is over."""
        if not self._started and any(trial.status != "PENDING" for trial in trials):
            self._started = True
        if not self._started and self._context.stop_requested():
            raise StoppedWaitingError
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
        """Tells how far all trials are, and keeps what one that failed tells."""
        if ERROR in result:
            self.failed[spec_of(trial).name] = result[KIND], result[ERROR]
            return
        total = self._end
        self._steps[spec_of(trial).name] = int(result["num_env_steps_sampled_lifetime"])
        mean = float(result["env_runners"]["episode_return_mean"])
        if not math.isnan(mean):
            self._returns[spec_of(trial).name] = mean
        values = {
            f"return {group}".rstrip(): statistics.fmean(
                value for name, value in self._returns.items() if self._groups[name] == group
            )
            for group in dict.fromkeys(self._groups[name] for name in self._returns)
        }
        done = sum(min(steps, total) for steps in self._steps.values()) + self._done * total
        self._context.progress(done, total * (len(self._steps) + self._done), "steps", **values)
        self._training.refresh()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its processes were lost for the last time."""
        error = trial.get_pickled_error()
        if isinstance(error, BaseException) and is_out_of_memory(error):
            resources = read_resources(spec_of(trial).folder(self._context.folder))
            advice = memory_advice(self._context.experiment.train, resources)
            text = f"its processes were ended {RETRIES + 1} times, at last with {error}\n  {advice}"
            self.failed[spec_of(trial).name] = "out_of_memory", text


def _group(experiment: Experiment, spec: TrialSpec) -> str:
    """What is compared: the architecture and the condition, each where there are several."""
    names = [spec.architecture] if len(experiment.architectures) > 1 else []
    return " ".join([*names, spec.condition] if len(experiment.conditions) > 1 else names)
