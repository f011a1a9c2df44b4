"""TrialRun: trains one trial from its newest checkpoint to the end of a chunk. Needs Ray, but not Tune.

<trial folder>/
    identity.json       what decides its course; checkpoints of another course are set aside
    checkpoints/        step_<n>/, complete once it has that name, and latest; the newest few are kept
    chunks/             how it ended each chunk
    faults/             a batch that it could not learn from, where there was one
    progress.jsonl      one line an iteration
    evaluations.jsonl   one line an evaluation in the course of training, where there are to be any
    tensorboard/        the same for TensorBoard
    trial.json          how far it is
    resources.json      the most memory that it took
    failure.json        why it failed, until it is tried again
    policy/             the final policy; this and what is evaluated of it goes when the trial trains again
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
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, Literal

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.algorithms.config import ColumnarConfig
from rayrl.algorithms.options import TrainOptions
from rayrl.algorithms.warm_start import warm_start
from rayrl.models.policy_folder import load_policy
from rayrl.pipeline import tensorboard
from rayrl.pipeline.checkpoints import Checkpoints
from rayrl.pipeline.chunk_record import ChunkRecord, memory_growth, read_record, record_file, write_record
from rayrl.pipeline.failure import forget_failure
from rayrl.pipeline.learner_folders import check_learners, keep_faults
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.shared_folder import Mark
from rayrl.pipeline.stages import Chunk
from rayrl.pipeline.trial import NO_STATE, TrialState, read_trial, write_trial
from rayrl.pipeline.trial_evaluations import EVALUATIONS_FILE, TrialEvaluations
from rayrl.pipeline.trial_outcome import (
    FAULTS_FOLDER,
    costs,
    forget_outcome,
    forget_past,
    save_replay,
    save_trained,
)
from rayrl.pipeline.trial_progress import (
    PROGRESS_FILE,
    append_line,
    cut_progress,
    progress_line,
    shown_metrics,
)
from rayrl.pipeline.trial_resources import MemoryWatch
from rayrl.pipeline.trial_spec import TrialSpec
from rayrl.storage.atomic import read_json, remove_leftovers, storage_errors, write_json
from rayrl.storage.hashing import sha256_path
from rayrl.storage.manifest import read_manifest, reason_to_run, write_manifest

_WEIGHTS = "policy/weights.safetensors"
_NO_OPTIMIZER = (
    "at step {:,} it went on without the optimizer's state; set train.save_optimizer_state: true to keep it"
)

_log = logging.getLogger(__name__)


class TrialRun:
    """One trial, in this process and the actors that its algorithm starts.

    Args:
        spec: the trial.
        folder: the run folder.
        config: the algorithm's config.
        options: the experiment as plain JSON values.
        train: its options of training.
        evaluations: when it is evaluated while it trains.
        chunk: the part of training to do; None for all of it.
        mark: what the learners' nodes must see of the folder before they write there; None asks nothing.
    """

    def __init__(
        self,
        spec: TrialSpec,
        folder: RunFolder,
        config: ColumnarConfig,
        options: dict[str, Any],
        train: TrainOptions,
        evaluations: TrialEvaluations,
        *,
        chunk: Chunk | None = None,
        mark: Mark | None = None,
    ) -> None:
        self.spec = spec
        self.path = spec.folder(folder)
        self._run = folder
        self._config = config
        self._options = spec.identity(options)
        self._train = train
        self._evaluations = evaluations
        self._total_steps = train.total_steps
        self._chunk = chunk or Chunk(1, 1, train.total_steps)
        self._checkpoints = Checkpoints(self.path / "checkpoints", keep=train.keep_checkpoints)
        self._mark = mark
        self._resumed_from: tuple[int, ...] = ()
        self._incidents: tuple[str, ...] = ()
        self._memory_start: int | None = None
        self._watch = MemoryWatch(self.path)
        self._metrics: dict[str, float] = {}

    def reason_to_run(self) -> str | None:
        """Why the trial has to run, in words; None when it is done with the same inputs and options.

        Within training, it is done with a chunk once it has a checkpoint at the chunk's end, or beyond.
        """
        options = self._options | {"total_steps": self._total_steps}
        reason = reason_to_run(self.path, inputs=self._inputs(), options=options)
        if reason is None and self._state is None:
            return NO_STATE
        if reason is None or self._chunk.is_last or not self._is_of_this_course:
            return reason
        newest = self._checkpoints.newest
        return None if newest >= self._chunk.end else f"it is at step {newest:,} of {self._chunk.end:,}"

    @property
    def step(self) -> int:
        """Environment steps at the checkpoint that it goes on from; 0 if it begins anew."""
        return self._checkpoints.newest if self._is_of_this_course else 0

    @property
    def _state(self) -> TrialState | None:
        return read_trial(self._run, *astuple(self.spec))

    @property
    def _identity(self) -> dict[str, Any]:
        return self._options | {"inputs": self._inputs()}

    @property
    def _is_of_this_course(self) -> bool:
        """Whether what the folder holds is of the same options and starting policy."""
        file = self.path / "identity.json"
        return file.exists() and bool(read_json(file, "a trial's identity") == self._identity)

    def train(self, report: Callable[[dict[str, Any]], None], stop_requested: Callable[[], bool]) -> bool:
        """Trains to the chunk's end, or until asked to stop; whether the trial is done with the chunk.

        Args:
            report: gets each iteration's result.
            stop_requested: asked after each iteration; a checkpoint is written then.

        Raises:
            RayrlError: the environment or training failed, a policy does not fit, the disk is full, or a
                learner's node does not share the folder.
        """
        checkpoint = self._prepare()
        with MemoryWatch(self.path) as self._watch:
            return self._train_from(checkpoint, report, stop_requested)

    def _train_from(
        self,
        checkpoint: Path | None,
        report: Callable[[dict[str, Any]], None],
        stop_requested: Callable[[], bool],
    ) -> bool:
        spool = self._config.replay_settings.spool_path
        if checkpoint is None and spool is not None and Path(spool).exists():
            # It is of a trial that is begun anew.
            with storage_errors(Path(spool), "the replay buffer's spool"):
                shutil.rmtree(spool)
        algorithm = self._config.build_algo()
        if algorithm.replay is not None:
            algorithm.replay.segments = self._checkpoints.segments
        try:
            if self._mark is not None:
                check_learners(algorithm, self._mark)
            keep_faults(algorithm, self.path / FAULTS_FOLDER)
            self._start(algorithm, checkpoint)
            finished = self._loop(algorithm, report, stop_requested)
            at_end = algorithm.env_steps >= self._total_steps or algorithm.stop_reason is not None
            if finished or not self._train.reset_on_checkpoint:
                # A longer training would have begun no new episodes at its former end.
                self._save(algorithm, reset=not at_end)
            if at_end or not finished:
                save_replay(algorithm, self.path, self.spec.name)
            if not finished:
                self._write_state(algorithm, "stopped")
            elif at_end:
                save_trained(algorithm, self.path, self.spec, run=self._run.record.run_id)
                self._end_chunk(algorithm, "finished")
                self._finish(algorithm)
            else:
                self._end_chunk(algorithm, "running")
            return finished
        finally:
            algorithm.stop()

    def chunk_file(self) -> Path:
        """The record of the chunk, which the trial is done with; written now where it went beyond before."""
        chunk, state = self._chunk, self._state
        record = read_record(self.path, chunk.number)
        if record is None or record.end != chunk.end:
            policy = read_manifest(self.path).outputs[_WEIGHTS].sha256 if chunk.is_last else None
            now = ChunkRecord(
                chunk=chunk.number,
                end=chunk.end,
                step=state.step if state else self._checkpoints.newest,
                exact=state is not None and state.exact,
                weights_sha256=policy,
            )
            write_record(self.path, now)
        return record_file(self.path, chunk.number)

    def fail(self, message: str) -> None:
        """Notes that the trial failed; the same command tries again from its newest checkpoint."""
        before = self._state
        if before is None:
            before = TrialState(
                **asdict(self.spec), state="failed", step=0, total_steps=self._total_steps, metrics={}
            )
        failed = {
            "state": "failed",
            "step": self._checkpoints.newest,
            "total_steps": self._total_steps,
            "error": message,
            "resumed_from": self._resumed_from or before.resumed_from,
            "incidents": tuple(dict.fromkeys([*before.incidents, *self._incidents])),
        }
        write_trial(self._run, before.model_copy(update=failed))

    def _prepare(self) -> Path | None:
        """Makes the folder ready; the newest intact checkpoint of this very trial."""
        self._checkpoints.prepare()
        forget_outcome(self.path)
        with storage_errors(self.path, "a trial"):
            forget_failure(self.path)
            remove_leftovers(self.path)
        if (self.path / "identity.json").exists() and not self._is_of_this_course:
            _log.warning("%s: its options or its starting policy changed; it starts anew", self.spec.name)
            self._forget_after(0)
        elif self._checkpoints.newest > (last := self._last_step()):
            _log.warning("%s: it has trained beyond step %d, and goes back", self.spec.name, last)
            self._forget_after(last)
        write_json(self.path / "identity.json", self._identity, "a trial's identity")
        newest, problems = self._checkpoints.take_intact()
        if problems and not newest:
            self._forget_after(0)
        for name in (PROGRESS_FILE, EVALUATIONS_FILE):
            # Without a checkpoint nothing stays, of what was told before training neither.
            cut_progress(self.path / name, newest if newest else -1)
        if (before := self._state) is not None:
            self._incidents = before.incidents
            self._metrics = before.metrics if newest else {}
            ended = read_record(self.path, self._chunk.number - 1)
            resumed = newest > 0 and (ended is None or newest != ended.step)
            self._resumed_from = (*before.resumed_from, newest) if resumed else before.resumed_from
        for problem in problems:
            self._note(problem)
        return self._checkpoints.path(newest) if newest else None

    def _note(self, incident: str) -> None:
        """Keeps what happened to the trial for its state; the same is kept once."""
        self._incidents = tuple(dict.fromkeys([*self._incidents, incident]))

    def _last_step(self) -> int:
        """The last step of the first iteration at or past ``total_steps``."""
        steps = self._config.steps_per_iteration
        return math.ceil(self._total_steps / steps) * steps

    def _forget_after(self, step: int) -> None:
        """Drops the checkpoints after a step; with none left, all that tells of the trial's past."""
        self._checkpoints.forget_after(step)
        if not self._checkpoints.newest:
            forget_past(self.path)

    def _start(self, algorithm: ColumnarAlgorithm, checkpoint: Path | None) -> None:
        if checkpoint is not None:
            algorithm.restore_from_path(checkpoint)
            _log.info("%s: goes on from step %d", self.spec.name, algorithm.env_steps)
            if not algorithm.exact_optimizer:
                self._note(_NO_OPTIMIZER.format(algorithm.env_steps))
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
        every = self._train.checkpoint_every_iterations
        with (
            (self.path / PROGRESS_FILE).open("a", encoding="utf-8", buffering=1) as progress,
            tensorboard.open_board(self.path, after_step=step) as board,
        ):
            tensorboard.write_hparams(board, self._run.record.run_id, self.spec, self._options)
            while algorithm.env_steps < self._chunk.end and algorithm.stop_reason is None:
                if stop_requested():
                    return False
                result = algorithm.train()
                line = progress_line(result)
                self._metrics = shown_metrics(line)
                with storage_errors(self.path / PROGRESS_FILE, "a trial's progress"):
                    progress.write(json.dumps(line) + "\n")
                tensorboard.write_iteration(board, line)
                self._evaluate(algorithm, before=before)
                before = algorithm.env_steps
                report(result)
                if self._memory_start is None:
                    self._memory_start = self._look_at_memory(algorithm)
                if gpu := line["learner"].get("gpu_memory_gib"):
                    self._watch.saw_gpu(int(gpu * 2**30))
                overdue = time.monotonic() - saved >= self._train.checkpoint_every_s
                if overdue if every is None else algorithm.training_iteration % every == 0:
                    self._save(algorithm, reset=True)
                    saved = time.monotonic()
        return True

    def _evaluate(self, algorithm: ColumnarAlgorithm, *, before: int) -> None:
        if self._evaluations.due(before, algorithm.env_steps):
            append_line(self.path / EVALUATIONS_FILE, self._evaluations.line(algorithm))

    def _save(self, algorithm: ColumnarAlgorithm, *, reset: bool) -> None:
        is_new = not self._checkpoints.path(algorithm.env_steps).exists()
        if self._train.reset_on_checkpoint and reset and is_new:
            # Whoever goes on from the checkpoint begins new episodes, so whoever wrote it does, too.
            algorithm.begin_episodes()
        self._checkpoints.save(algorithm)
        self._look_at_memory(algorithm)
        self._write_state(algorithm, "running")

    def _look_at_memory(self, algorithm: ColumnarAlgorithm) -> int:
        """Memory of the trial's processes, of which the peak is kept."""
        self._watch.saw(total := algorithm.memory_bytes())
        return total

    def _end_chunk(self, algorithm: ColumnarAlgorithm, state: Literal["running", "finished"]) -> None:
        """Notes how the chunk ended, and whether memory has grown meanwhile."""
        chunk = self._chunk
        record = ChunkRecord(
            chunk=chunk.number,
            end=chunk.end,
            step=algorithm.env_steps,
            exact=algorithm.exact,
            memory_start_bytes=self._memory_start,
            memory_bytes=None if self._memory_start is None else algorithm.memory_bytes(),
            weights_sha256=sha256_path(self.path / _WEIGHTS) if state == "finished" else None,
        )
        write_record(self.path, record)
        first = read_record(self.path, 1) if chunk.number > 1 else None
        if growth := memory_growth(record, first, replay=algorithm.replay is not None):
            self._note(growth)
            _log.warning("%s: %s", self.spec.name, growth)
        self._write_state(algorithm, state)

    def _finish(self, algorithm: ColumnarAlgorithm) -> None:
        write_manifest(
            self.path,
            name=self.spec.name,
            inputs=self._inputs(),
            options=self._options | {"total_steps": self._total_steps},
            outputs=["policy/policy.json", _WEIGHTS, PROGRESS_FILE],
            extra={"step": algorithm.env_steps, "exact": algorithm.exact, **costs(self._config, self.path)},
        )

    def _write_state(
        self, algorithm: ColumnarAlgorithm, state: Literal["running", "stopped", "finished"]
    ) -> None:
        write_trial(
            self._run,
            TrialState(
                **asdict(self.spec),
                state=state,
                step=algorithm.env_steps,
                total_steps=self._total_steps,
                resumed_from=self._resumed_from,
                exact=algorithm.exact,
                metrics=self._metrics,
                stop_reason=algorithm.stop_reason,
                warnings=tuple(algorithm.warnings),
                incidents=self._incidents,
            ),
        )

    def _inputs(self) -> dict[str, str]:
        start = self.spec.starting_policy(self._run)
        return {"policy": sha256_path(start / "weights.safetensors")} if start is not None else {}
