"""TrialRun: trains one trial from its newest checkpoint to its last step. Needs Ray, but not Tune.

<trial folder>/
    identity.json       what decides its course; checkpoints of another course are set aside
    checkpoints/        step_<n>/, complete once it has that name; the newest two are kept
    progress.jsonl      one line an iteration
    evaluations.jsonl   one line an evaluation in the course of training, where there are to be any
    tensorboard/        the same for TensorBoard
    trial.json          how far it is
    policy/             the final policy
    replay_buffer/      what was kept of the rollouts, where anything was
    manifest.json       written last: the trial is done
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rayrl.algorithms.algorithm import (
    REPLAY,
    REPLAY_SECONDS,
    SAMPLING_SECONDS,
    UPDATE_SECONDS,
    ColumnarAlgorithm,
)
from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.warm_start import warm_start
from rayrl.errors import StorageError
from rayrl.models.policy_folder import load_policy, save_policy
from rayrl.pipeline import tensorboard
from rayrl.pipeline.node_probe import this_node
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.shared_folder import Mark, not_shared
from rayrl.pipeline.trial import TrialState, write_trial
from rayrl.pipeline.trial_evaluations import EVALUATIONS_FILE, TrialEvaluations
from rayrl.pipeline.trial_spec import TrialSpec
from rayrl.storage.atomic import atomic_folder, read_json, remove_leftovers, storage_errors, write_json
from rayrl.storage.hashing import sha256_path
from rayrl.storage.manifest import reason_to_run, write_manifest

_CHECKPOINT = "step_{:012d}"
_KEPT = 2
REPLAY_FOLDER = "replay_buffer"

_log = logging.getLogger(__name__)


class TrialRun:
    """One trial, in this process and the actors that its algorithm starts.

    Args:
        spec: the trial.
        folder: the run folder.
        config: the algorithm's config.
        options: the experiment as plain JSON values.
        evaluations: when it is evaluated while it trains.
        total_steps: environment steps after which it ends, at the end of an iteration.
        checkpoint_every_s: seconds between checkpoints.
        mark: what the learners' nodes must see of the folder before they write there; None asks nothing.
    """

    def __init__(
        self,
        spec: TrialSpec,
        folder: RunFolder,
        config: ColumnarConfig,
        options: dict[str, Any],
        evaluations: TrialEvaluations,
        *,
        total_steps: int,
        checkpoint_every_s: float,
        mark: Mark | None = None,
    ) -> None:
        self.spec = spec
        self.path = spec.folder(folder)
        self._run = folder
        self._config = config
        self._options = spec.identity(options)
        self._evaluations = evaluations
        self._total_steps = total_steps
        self._checkpoint_every_s = checkpoint_every_s
        self._mark = mark
        self._resumed_from: tuple[int, ...] = ()
        self._metrics: dict[str, float] = {}

    def reason_to_run(self) -> str | None:
        """Why the trial has to run, in words; None when it is done with the same inputs and options."""
        options = self._options | {"total_steps": self._total_steps}
        return reason_to_run(self.path, inputs=self._inputs(), options=options)

    def train(self, report: Callable[[dict[str, Any]], None], stop_requested: Callable[[], bool]) -> bool:
        """Trains to the end, or until asked to stop; whether the trial is done.

        Args:
            report: gets each iteration's result.
            stop_requested: asked after each iteration; a checkpoint is written then.

        Raises:
            RayrlError: the environment or training failed, a policy does not fit, the disk is full, or a
                learner's node does not share the folder.
        """
        checkpoint = self._prepare()
        spool = self._config.replay_settings.spool_path
        if checkpoint is None and spool is not None:
            # It is of a trial that is begun anew.
            shutil.rmtree(spool, ignore_errors=True)
        algorithm = self._config.build_algo()
        if algorithm.replay is not None:
            algorithm.replay.segments = self.path / "checkpoints" / "replay_segments"
        try:
            if self._mark is not None:
                _check_learners(algorithm, self._mark)
            self._start(algorithm, checkpoint)
            finished = self._loop(algorithm, report, stop_requested)
            self._save(algorithm)
            self._save_replay(algorithm)
            if finished:
                self._finish(algorithm)
            else:
                self._write_state(algorithm, "stopped")
            return finished
        finally:
            algorithm.stop()

    def fail(self, message: str) -> None:
        """Notes that the trial failed; the same command tries again from its newest checkpoint."""
        state = TrialState(
            architecture=self.spec.architecture,
            condition=self.spec.condition,
            seed=self.spec.seed,
            state="failed",
            step=max(self._steps(), default=0),
            total_steps=self._total_steps,
            resumed_from=self._resumed_from,
            metrics=self._metrics,
            error=message,
        )
        write_trial(self._run, state)

    def _prepare(self) -> Path | None:
        """Makes the folder ready; the newest checkpoint of this very trial."""
        with storage_errors(self.path, "a trial"):
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
            (self.path / "manifest.json").unlink(missing_ok=True)
        for folder in (self.path, self.path / "checkpoints"):
            remove_leftovers(folder)
        identity_file = self.path / "identity.json"
        identity = self._options | {"inputs": self._inputs()}
        if identity_file.exists() and read_json(identity_file, "a trial's identity") != identity:
            _log.warning("%s: its options or its starting policy changed; it starts anew", self.spec.name)
            self._forget_after(0)
        elif max(self._steps(), default=0) > (last := self._last_step()):
            _log.warning("%s: it has trained beyond step %d, and goes back", self.spec.name, last)
            self._forget_after(last)
        write_json(identity_file, identity, "a trial's identity")
        newest = max(self._steps(), default=0)
        for name in ("progress.jsonl", EVALUATIONS_FILE):
            _cut(self.path / name, newest if newest else -1)
        if (self.path / "trial.json").exists():
            before = TrialState.parse(
                read_json(self.path / "trial.json", "a trial's state"), where=self.spec.name
            )
            self._resumed_from = (*before.resumed_from, newest) if newest else before.resumed_from
        return self._checkpoint(newest) if newest else None

    def _last_step(self) -> int:
        """The last step of the first iteration at or past ``total_steps``."""
        steps = self._config.steps_per_iteration
        return math.ceil(self._total_steps / steps) * steps

    def _forget_after(self, step: int) -> None:
        """Drops the checkpoints after a step; with none left, all that tells of the trial's past."""
        for later in self._steps():
            if later > step:
                shutil.rmtree(self._checkpoint(later))
        if not self._steps():
            shutil.rmtree(self.path / tensorboard.FOLDER, ignore_errors=True)
            (self.path / "trial.json").unlink(missing_ok=True)

    def _start(self, algorithm: ColumnarAlgorithm, checkpoint: Path | None) -> None:
        if checkpoint is not None:
            algorithm.restore_from_path(checkpoint)
            _log.info("%s: goes on from step %d", self.spec.name, algorithm.env_steps)
        elif (start := self.spec.starting_policy(self._run)) is not None:
            report = warm_start(algorithm, load_policy(start), where=str(start))
            _log.info("%s: starts from %s: %s", self.spec.name, start, report)
        self._write_state(algorithm, "running")
        if checkpoint is None:
            self._evaluate(algorithm, before=-1)

    def _loop(
        self,
        algorithm: ColumnarAlgorithm,
        report: Callable[[dict[str, Any]], None],
        stop_requested: Callable[[], bool],
    ) -> bool:
        saved = time.monotonic()
        step = before = algorithm.env_steps
        with (
            (self.path / "progress.jsonl").open("a", encoding="utf-8", buffering=1) as progress,
            tensorboard.open_board(self.path, after_step=step) as board,
        ):
            tensorboard.write_hparams(board, self._run.record.run_id, self.spec, self._options)
            while algorithm.env_steps < self._total_steps and algorithm.stop_reason is None:
                if stop_requested():
                    return False
                result = algorithm.train()
                line = progress_line(result)
                self._metrics = {
                    name: line[name]
                    for name in ("episode_return_mean", "episode_len_mean", "success_rate")
                    if line.get(name) is not None
                }
                with storage_errors(self.path / "progress.jsonl", "a trial's progress"):
                    progress.write(json.dumps(line) + "\n")
                tensorboard.write_iteration(board, line)
                self._evaluate(algorithm, before=before)
                before = algorithm.env_steps
                report(result)
                if time.monotonic() - saved >= self._checkpoint_every_s:
                    self._save(algorithm)
                    saved = time.monotonic()
        return True

    def _evaluate(self, algorithm: ColumnarAlgorithm, *, before: int) -> None:
        if self._evaluations.due(before, algorithm.env_steps):
            _append(self.path / EVALUATIONS_FILE, self._evaluations.line(algorithm))

    def _save(self, algorithm: ColumnarAlgorithm) -> None:
        """Writes a checkpoint under its final name only when it is complete, and drops older ones."""
        target = self._checkpoint(algorithm.env_steps)
        if not target.exists():
            with atomic_folder(target, "a checkpoint") as folder:
                algorithm.save_to_path(str(folder))
                # RLlib does not look at whether a remote learner could save itself.
                for file in ("algorithm_state.pkl", "learner_group/learner/state.pkl"):
                    if not (folder / file).is_file():
                        raise StorageError(
                            f"a checkpoint lacks {file}",
                            where=str(target),
                            remedy="the folder must be on a file system that the learners' nodes share",
                        )
        for step in sorted(self._steps())[:-_KEPT]:
            shutil.rmtree(self._checkpoint(step))
        if algorithm.replay is not None:
            algorithm.replay.sweep([self._checkpoint(step) for step in self._steps()])
        self._write_state(algorithm, "running")

    def _save_replay(self, algorithm: ColumnarAlgorithm) -> None:
        settings = self._config.replay_settings
        if algorithm.replay is not None and settings.save_replay_buffer:
            named = settings.replay_buffer_save_path
            path = self.path / REPLAY_FOLDER if named is None else Path(named) / self.spec.name
            algorithm.replay.buffer.save(path)
            _log.info("%s: its replay buffer is in %s", self.spec.name, path)

    def _finish(self, algorithm: ColumnarAlgorithm) -> None:
        module = algorithm.learner_module()
        save_policy(
            self.path / "policy",
            module.network,
            architecture=self.spec.architecture,
            provenance={
                "run": self._run.record.run_id,
                "trial": self.spec.name,
                "seed": self.spec.seed,
                "step": algorithm.env_steps,
            },
        )
        self._write_state(algorithm, "finished")
        write_manifest(
            self.path,
            name=self.spec.name,
            inputs=self._inputs(),
            options=self._options | {"total_steps": self._total_steps},
            outputs=["policy/policy.json", "policy/weights.safetensors", "progress.jsonl"],
            extra={"step": algorithm.env_steps, "exact": algorithm.exact},
        )

    def _write_state(
        self, algorithm: ColumnarAlgorithm, state: Literal["running", "stopped", "finished"]
    ) -> None:
        write_trial(
            self._run,
            TrialState(
                architecture=self.spec.architecture,
                condition=self.spec.condition,
                seed=self.spec.seed,
                state=state,
                step=algorithm.env_steps,
                total_steps=self._total_steps,
                resumed_from=self._resumed_from,
                exact=algorithm.exact,
                metrics=self._metrics,
                stop_reason=algorithm.stop_reason,
                warnings=tuple(algorithm.warnings),
            ),
        )

    def _inputs(self) -> dict[str, str]:
        start = self.spec.starting_policy(self._run)
        return {"policy": sha256_path(start / "weights.safetensors")} if start is not None else {}

    def _checkpoint(self, step: int) -> Path:
        return self.path / "checkpoints" / _CHECKPOINT.format(step)

    def _steps(self) -> list[int]:
        """Steps of the complete checkpoints."""
        return [int(path.name.removeprefix("step_")) for path in self.path.glob("checkpoints/step_*")]


def _cut(file: Path, step: int) -> None:
    """Drops the lines after a checkpoint's step: what they tell of is done again."""
    if file.exists():
        kept = [line for line in _lines(file) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        with storage_errors(file, "a trial's progress"):
            file.write_text(text, encoding="utf-8")


def _append(file: Path, line: dict[str, Any]) -> None:
    with storage_errors(file, "a trial's evaluations"), file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line) + "\n")


def _check_learners(algorithm: ColumnarAlgorithm, mark: Mark) -> None:
    answers = algorithm.learner_group.foreach_learner(
        lambda learner, mark=mark: None if mark.is_seen() else this_node()
    )
    if blind := [node for answer in answers if (node := answer.get()) is not None]:
        raise not_shared(blind, mark.folder)


def progress_line(result: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an iteration's result; a mean of no episodes is null, since JSON has no NaN."""
    # Before an algorithm that learns from replay has enough of it, its learners tell nothing.
    runners, learner = result["env_runners"], result.get("learners", {}).get("default_policy", {})
    sample, learn = float(runners["sample_seconds"]), float(learner.get("seconds", 0.0))
    line: dict[str, Any] = {
        "step": int(result["num_env_steps_sampled_lifetime"]),
        "iteration": int(result["training_iteration"]),
        "episode_return_mean": float(runners["episode_return_mean"]),
        "episode_len_mean": float(runners["episode_len_mean"]),
        "learner": {name: float(value) for name, value in learner.items()},
        "seconds": {
            "sample": sample,
            "learn": learn,
            # How much longer the algorithm waited than the slowest worker sampled, and the learners learned:
            # for orders, weights and batches on their way, or for processes that had no CPU.
            "rollout_wait": max(0.0, float(result["timers"][SAMPLING_SECONDS]) - sample),
            "learner_wait": max(0.0, float(result["timers"][UPDATE_SECONDS]) - learn),
            "total": float(result["time_this_iter_s"]),
        },
    }
    if "temperature" in result:
        line["temperature"] = {name: float(value) for name, value in result["temperature"].items()}
    if "stabilization_steps" in result:
        line["stabilization_steps"] = int(result["stabilization_steps"])
    if REPLAY in result:
        line["replay"] = {name: float(value) for name, value in result[REPLAY].items()}
        line["seconds"]["replay"] = float(result["timers"][REPLAY_SECONDS])
    if "success_rate" in runners:
        line["success_rate"] = float(runners["success_rate"])
    if "actions" in runners:
        line["actions"] = {name: float(share) for name, share in runners["actions"].items()}
    finite: dict[str, Any] = _without_nan(line)
    return finite


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(file: Path) -> list[dict[str, Any]]:
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            # A process that was killed may have left half a line.
            continue
    return lines
