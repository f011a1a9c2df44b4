"""Asks the env runners for a batch, and learners for an update; what touches RLlib's actor managers is here.

Each env runner gets the newest weights and the order to sample in one call, and returns a receipt and the
batch as two objects. The batch is owned by this process, so it survives the worker that made it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rayrl.algorithms.experience_data import Part
from rayrl.errors import LearnerTimeoutError, RayrlError, TrainingError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.rollout.receipt import Receipt

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


def sample_local(group: EnvRunnerGroup, num_steps: int) -> list[Sample]:
    """Samples in this process."""
    receipt, batch = group.local_env_runner.sample(num_timesteps=num_steps)
    return [Sample(receipt, batch)]


def sample_remote(
    group: EnvRunnerGroup, weights: dict[str, Any], steps_per_worker: int, rounds: int, timeout_s: float
) -> tuple[list[Sample], list[int]]:
    """Samples from healthy workers at once.

    Args:
        group: the workers.
        weights: state with weights and their version.
        steps_per_worker: rows of each answer.
        rounds: answers that are needed at most; of more workers only the first are asked.
        timeout_s: how long to wait for all of them.

    Returns:
        The answers in the order of the workers, and the indices of the workers that were lost; their samples
        are missing, and they are marked for RLlib to restore.

    Raises:
        TrainingError: a worker did not answer in time, or raised.
    """
    manager = group._worker_manager
    asked = manager.healthy_actor_ids()[:rounds]
    weights_ref = ray.put(weights)
    answers = {
        index: manager.actors()[index]
        .sample_with.options(num_returns=2)
        .remote(weights_ref, steps_per_worker)
        for index in asked
    }
    deadline = time.monotonic() + timeout_s
    samples, lost = [], []
    for index, (receipt_ref, batch_ref) in answers.items():
        try:
            receipt = ray.get(receipt_ref, timeout=max(0.0, deadline - time.monotonic()))
        except RayActorError as error:
            _log.warning("env runner %d died while sampling: %s", index, error)
            manager.set_actor_state(index, healthy=False)
            lost.append(index)
        except ray.exceptions.GetTimeoutError:
            raise TrainingError(
                f"did not return {steps_per_worker} steps within {timeout_s:g} s",
                where=f"env runner {index}",
                remedy="raise sample_timeout_s, or lower rollout_fragment_length",
            ) from None
        except RayTaskError as error:
            raise _cause(error, f"env runner {index}") from error
        else:
            samples.append(Sample(receipt, batch_ref))
    return samples, lost


def update_learners(
    group: LearnerGroup, data: TrainingData, timesteps: dict[str, Any], timeout_s: float
) -> list[dict[str, Any]]:
    """Updates every learner on its shard of the data.

    Raises:
        LearnerTimeoutError: a learner did not finish in time; its rank is named.
        TrainingError: a learner died, or raised.
    """
    if group.is_local:
        local: list[dict[str, Any]] = group.update(training_data=data, timesteps=timesteps)
        return local
    data.validate()
    actors = group._workers
    refs = {
        actor.update.remote(training_data=shard, timesteps=timesteps): rank
        for rank, (actor, (shard, _)) in enumerate(zip(actors, data.shard(len(actors)), strict=True))
    }
    results: dict[int, dict[str, Any]] = {}
    deadline = time.monotonic() + timeout_s
    while waiting := [ref for ref, rank in refs.items() if rank not in results]:
        # One by one: where a learner fails, the others wait for it in a collective and would never return.
        ready, _ = ray.wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
        if not ready:
            ranks = ", ".join(str(refs[ref]) for ref in waiting)
            raise LearnerTimeoutError(
                f"did not finish an update within {timeout_s:g} s",
                where=f"learner {ranks}",
                remedy="look at its log; raise learner_timeout_s if updates of this size take longer",
            )
        rank = refs[ready[0]]
        try:
            results[rank] = ray.get(ready[0])
        except RayActorError as error:
            raise TrainingError(f"died: {error}", where=f"learner {rank}") from error
        except RayTaskError as error:
            raise _cause(error, f"learner {rank}") from error
    return [results[rank] for rank in range(len(actors))]


def worker_states(group: EnvRunnerGroup) -> dict[int, dict[str, Any]]:
    """The complete state of every env runner without its weights, by index; the local one is 0."""
    states = {}
    if group.local_env_runner is not None:
        states[0] = group.local_env_runner.get_state(not_components="rl_module")
    manager = group._worker_manager
    refs = {
        index: manager.actors()[index].get_state.remote(not_components="rl_module")
        for index in manager.healthy_actor_ids()
    }
    return states | {index: ray.get(ref) for index, ref in refs.items()}


def restore_workers(group: EnvRunnerGroup, states: dict[int, dict[str, Any]]) -> bool:
    """Gives every env runner its saved state.

    Returns:
        Whether all that follows is what would have followed: every worker had a state, and its environments
        could take it.
    """
    exact = True
    if group.local_env_runner is not None and 0 in states:
        exact &= group.local_env_runner.set_state(states[0])
    actors = group._worker_manager.actors()
    refs = [actors[index].set_state.remote(states[index]) for index in actors if index in states]
    return exact and len(refs) == len(actors) and all(ray.get(refs))


def begin_epochs(group: EnvRunnerGroup, epochs: dict[int, int], seconds: float) -> None:
    """Tells restarted workers their epoch."""
    actors: Any = group._worker_manager.actors()
    ray.get([actors[index].begin_epoch.remote(epoch) for index, epoch in epochs.items()], timeout=seconds)


def _cause(error: RayTaskError, where: str) -> Exception:
    """The error behind a remote call: rayrl's own as it is, any other with its remote traceback."""
    if isinstance(error.cause, RayrlError):
        return error.cause
    return TrainingError(f"raised {error.cause!r}\n{error}", where=where)


def learner_weights(group: LearnerGroup) -> dict[str, Any]:
    """What env runners need of the newest weights, and their version."""
    state: dict[str, Any] = group.get_state("learner/rl_module", inference_only=True)["learner"]
    return state
