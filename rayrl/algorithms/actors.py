"""Asks the env runners for a batch, and learners for an update; what touches RLlib's actor managers is here.

Each env runner gets the newest weights and the order to sample in one call, and returns a receipt and the
batch as two objects. The batch is owned by this process, so it survives the worker that made it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rayrl.algorithms.experience_data import Part
from rayrl.algorithms.offpolicy.data import Ratings
from rayrl.errors import LearnerTimeoutError, RayrlError, TrainingError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.rollout.receipt import Receipt
from rayrl.storage.process_memory import own_bytes

_COMPLAINTS_S = 5.0
"""How long after the time limit learners may still say that they waited for another one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """One worker's answer.

    Args:
        receipt: what it is.
        batch: the batch, or a reference to it.
    """

    receipt: Receipt
    batch: TrajectoryBatch | ray.ObjectRef

    @property
    def part(self) -> Part:
        """All of the batch's trajectories, for the learners."""
        return Part.whole(self.batch, self.receipt.lengths)


def begin_episodes(group: EnvRunnerGroup) -> None:
    """Has all workers build their environments anew: their next batches begin with new episodes."""
    if not group.num_remote_env_runners():
        group.local_env_runner.make_env()
    actors = group._worker_manager.actors()
    refs = {worker: actors[worker].make_env.remote() for worker in healthy_workers(group)}
    _answers(group, refs, "it begins new episodes when it is back")


@dataclass(frozen=True, slots=True)
class Order:
    """What workers are to collect.

    Args:
        weights: state with weights and their version.
        steps: rows in all.
        acting: who acts in place of the policy, ``random`` or a demonstrator; None for the policy.
        env_steps: environment steps of all workers before it, by which exploration goes.
    """

    weights: dict[str, Any]
    steps: int
    acting: str | None = None
    env_steps: int = 0


def sample_local(group: EnvRunnerGroup, order: Order) -> Sample:
    """Samples in this process, by the weights that the local worker has."""
    runner = group.local_env_runner
    return Sample(*runner.sample(num_timesteps=order.steps, acting=order.acting, env_steps=order.env_steps))


def all_workers(group: EnvRunnerGroup) -> list[int]:
    """Indices of the remote workers, in order."""
    return sorted(group._worker_manager.actor_ids())


def healthy_workers(group: EnvRunnerGroup) -> list[int]:
    """Indices of the remote workers that are not known to be lost, in order."""
    return sorted(group._worker_manager.healthy_actor_ids())


def mark_lost(group: EnvRunnerGroup, worker: int) -> None:
    """Has RLlib see whether a worker has come back, before anything else is asked of it."""
    group._worker_manager.set_actor_state(worker, healthy=False)


Answers = dict[int, tuple[ray.ObjectRef, ray.ObjectRef]]
"""References to the receipt and the batch that each worker will return, by its index."""


def order_remote(group: EnvRunnerGroup, order: Order, rows: Mapping[int, int]) -> Answers:
    """Has several workers begin to sample at once.

    Args:
        group: the workers.
        order: what they are to collect.
        rows: rows that each of them is to return, by its index.
    """
    actors = group._worker_manager.actors()
    weights = ray.put(order.weights)
    return {
        worker: tuple(
            actors[worker]
            .sample_with.options(num_returns=2)
            .remote(weights, count, order.acting, order.env_steps)
        )
        for worker, count in rows.items()
    }


def sample_remote(group: EnvRunnerGroup, answers: Answers, timeout_s: float) -> list[Sample]:
    """Waits for the samples that were ordered.

    Args:
        group: the workers.
        answers: what ``order_remote`` gave.
        timeout_s: how long to wait for all of them.

    Returns:
        The answers in the order of the workers. Those of workers that died are missing; such workers are
        marked as lost.

    Raises:
        TrainingError: a worker did not answer in time, or raised.
    """
    deadline = time.monotonic() + timeout_s
    samples = []
    for worker, (receipt, batch) in answers.items():
        try:
            samples.append(Sample(ray.get(receipt, timeout=max(0.0, deadline - time.monotonic())), batch))
        except RayActorError as error:
            _log.warning("env runner %d died while sampling: %s", worker, error)
            mark_lost(group, worker)
        except GetTimeoutError:
            raise TrainingError(
                f"did not return its steps within {timeout_s:g} s",
                where=f"env runner {worker}",
                remedy="raise sample_timeout_s, or collect fewer steps at a time",
            ) from None
        except RayTaskError as error:
            raise _cause(error, f"env runner {worker}") from error
    return samples


def worker_states(group: EnvRunnerGroup) -> dict[int, dict[str, Any]]:
    """The complete state of every env runner without its weights, by index; the local one is 0.

    Workers that are lost have none.
    """
    states = {}
    if group.local_env_runner is not None:
        states[0] = group.local_env_runner.get_state(not_components="rl_module")
    actors = group._worker_manager.actors()
    refs = {
        worker: actors[worker].get_state.remote(not_components="rl_module")
        for worker in healthy_workers(group)
    }
    return states | _answers(group, refs, "its state is not saved")


def restore_workers(group: EnvRunnerGroup, states: Mapping[int, dict[str, Any]]) -> dict[int, bool]:
    """Gives env runners their saved state.

    Returns:
        By the index of each worker that has one now, whether its environments' own states came back with it.
    """
    exact = {}
    if group.local_env_runner is not None and 0 in states:
        exact[0] = group.local_env_runner.set_state(states[0])
    actors = group._worker_manager.actors()
    refs = {
        worker: actors[worker].set_state.remote(states[worker])
        for worker in healthy_workers(group)
        if worker in states
    }
    return exact | _answers(group, refs, "its state is not restored")


def resident_bytes(env_runners: EnvRunnerGroup | None, learners: LearnerGroup) -> int:
    """Memory of this process and of all env runners and learners in others, without what they share.

    What processes share is Ray's object store, which has a bound of its own.
    """
    total = own_bytes()
    if env_runners is not None:
        actors = env_runners._worker_manager.actors()
        refs = {
            worker: actors[worker].apply.remote(lambda runner: own_bytes())
            for worker in healthy_workers(env_runners)
        }
        total += sum(_answers(env_runners, refs, "its memory is not counted").values())
    if not learners.is_local:
        total += sum(answer.get() for answer in learners.foreach_learner(lambda learner: own_bytes()))
    return total


def begin_epochs(group: EnvRunnerGroup, epochs: Mapping[int, int]) -> list[int]:
    """Tells workers their epoch, the local one as 0; returns the indices of those that heard it."""
    actors = group._worker_manager.actors()
    refs = {worker: actors[worker].begin_epoch.remote(epoch) for worker, epoch in epochs.items() if worker}
    if 0 in epochs:
        group.local_env_runner.begin_epoch(epochs[0])
    return [worker for worker in epochs if worker == 0] + list(_answers(group, refs, "it stays away"))


def restored_workers(group: EnvRunnerGroup) -> list[int]:
    """Indices of the lost workers that Ray has restarted since the last call; they count as healthy again."""
    return group.probe_unhealthy_env_runners() or []


def _answers(group: EnvRunnerGroup, refs: Mapping[int, ray.ObjectRef], consequence: str) -> dict[int, Any]:
    """What workers return, by index, without those that died; they are marked as lost."""
    answers = {}
    for worker, ref in refs.items():
        try:
            answers[worker] = ray.get(ref)
        except RayActorError as error:
            _log.warning("env runner %d died, and %s: %s", worker, consequence, error)
            mark_lost(group, worker)
    return answers


def make_steps(
    group: LearnerGroup, data: TrainingData, timesteps: dict[str, Any], timeout_s: float
) -> list[Ratings]:
    """Has every learner from replay make gradient steps on its draw; gives the ratings of each.

    Those of remote learners are references, which need not pass through this process.

    Raises:
        LearnerTimeoutError: a learner did not finish in time; its rank is named.
        TrainingError: a learner died, or raised.
    """
    data.validate()
    if group.is_local:
        return [group._learner.make_steps(data, timesteps)]
    actors = group._workers
    calls = [
        actor.make_steps_apart.options(num_returns=4).remote(shard, timesteps)
        for actor, (shard, _) in zip(actors, data.shard(len(actors)), strict=True)
    ]
    _results_or_end(group, {rows: rank for rank, (rows, *_) in enumerate(calls)}, timeout_s)
    return [Ratings(*arrays) for _, *arrays in calls]


def report_steps(group: LearnerGroup, timeout_s: float) -> list[dict[str, Any]]:
    """What the learners' steps since the last report were like, reduced; errors as of ``make_steps``."""
    if group.is_local:
        return [group._learner.report()]
    reports = {actor.report.remote(): rank for rank, actor in enumerate(group._workers)}
    return _results_or_end(group, reports, timeout_s)


def update_learners(
    group: LearnerGroup, data: TrainingData, timesteps: dict[str, Any], timeout_s: float
) -> list[dict[str, Any]]:
    """Updates every learner on its shard of the data; remote ones are killed where one of them fails.

    Raises:
        LearnerTimeoutError: a learner did not finish in time; its rank is named.
        TrainingError: a learner died, or raised.
    """
    if group.is_local:
        local: list[dict[str, Any]] = group.update(training_data=data, timesteps=timesteps)
        return local
    return _ask_remote(group, "update", data, timesteps, timeout_s)


def observe_learners(group: LearnerGroup, data: TrainingData, timeout_s: float) -> None:
    """Has every learner take its shard of the data into its statistics; nothing is learned.

    Raises:
        LearnerTimeoutError: as ``update_learners``.
        TrainingError: as ``update_learners``.
    """
    if group.is_local:
        group._learner.observe(training_data=data)
    else:
        _ask_remote(group, "observe", data, {}, timeout_s)


def _ask_remote(
    group: LearnerGroup, method: str, data: TrainingData, timesteps: dict[str, Any], timeout_s: float
) -> list[dict[str, Any]]:
    data.validate()
    actors = group._workers
    updates = {
        getattr(actor, method).remote(training_data=shard, timesteps=timesteps): rank
        for rank, (actor, (shard, _)) in enumerate(zip(actors, data.shard(len(actors)), strict=True))
    }
    return _results_or_end(group, updates, timeout_s)


def _results_or_end(group: LearnerGroup, updates: dict[ray.ObjectRef, int], timeout_s: float) -> list[Any]:
    """What the updates return, by rank; where one of them fails, all learners are killed."""
    try:
        return _results(updates, timeout_s)
    except RayrlError:
        # What is left waits for the others, and none can go on without them.
        for actor in group._workers:
            ray.kill(actor)
        raise


def _results(updates: dict[ray.ObjectRef, int], timeout_s: float) -> list[Any]:
    """What the updates return, by rank; an error as soon as it is known which learner is to blame."""
    results: dict[int, Any] = {}
    complaints: dict[int, LearnerTimeoutError] = {}
    deadline = time.monotonic() + timeout_s + _COMPLAINTS_S
    while waiting := [
        update for update, rank in updates.items() if rank not in results and rank not in complaints
    ]:
        ready, _ = ray.wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            ranks = ", ".join(str(updates[update]) for update in waiting)
            raise LearnerTimeoutError(
                f"did not finish an update within {timeout_s:g} s",
                where=f"learner {ranks}",
                remedy="look at its log; raise learner_timeout_s if updates of this size take longer",
            )
        rank = updates[ready[0]]
        try:
            results[rank] = ray.get(ready[0])
        except RayActorError as error:
            raise TrainingError(f"died: {error}", where=f"learner {rank}") from error
        except RayTaskError as error:
            cause = _cause(error, f"learner {rank}")
            if not isinstance(cause, LearnerTimeoutError):
                raise cause from error
            complaints[rank] = cause  # it waited for another one, which is to blame
    if complaints:
        raise complaints[min(complaints)]
    return [results[rank] for rank in range(len(updates))]


def _cause(error: RayTaskError, where: str) -> Exception:
    """The error behind a remote call: rayrl's own as it is, any other with its remote traceback."""
    if isinstance(error.cause, RayrlError):
        return error.cause
    return TrainingError(f"raised {error.cause!r}\n{error}", where=where)


def learner_weights(group: LearnerGroup) -> dict[str, Any]:
    """What env runners need of the newest weights, and their version."""
    state: dict[str, Any] = group.get_state("learner/rl_module", inference_only=True)["learner"]
    return state
