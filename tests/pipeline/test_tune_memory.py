"""What Ray's memory monitor ended is handled by Tune's own classes as a process that was lost."""

import pytest
from ray.air.execution import FixedResourceManager
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError

from rayrl.pipeline.out_of_memory import is_out_of_memory
from rayrl.pipeline.tune_memory import memory_is_lost_like_a_process

ENDED = OutOfMemoryError(
    "1 worker(s) were killed due to the node running low on memory\nOOM kill reason: much\nTop 10 users: …"
)


@pytest.fixture
def failed(monkeypatch):
    """A manager, a task of an actor, and what is told of the actor's and the task's failures."""
    # There is no process to clean up; tests/chaos/test_memory_monitor.py has one.
    monkeypatch.setattr(RayActorManager, "_cleanup_actor", lambda self, tracked_actor: None)
    told = []
    actor = TrackedActor(1, on_error=lambda actor, error: told.append(error))
    task = TrackedActorTask(actor, on_error=lambda actor, error: told.append(error))
    return RayActorManager(FixedResourceManager({"CPU": 1})), actor, task, told


def test_tune_itself_takes_it_for_a_fault_of_its_own(failed):
    manager, _, task, told = failed
    with pytest.raises(RuntimeError, match="unexpected"):
        manager._actor_task_failed(tracked_actor_task=task, exception=ENDED)
    assert told == []


def test_a_trial_that_it_ends_has_lost_its_actor(failed):
    manager, actor, task, told = failed
    with memory_is_lost_like_a_process():
        manager._actor_task_failed(tracked_actor_task=task, exception=ENDED)
        manager._actor_start_failed(tracked_actor=actor, exception=ENDED)
    assert len(told) == 3
    for error in told:
        assert isinstance(error, RayActorError)
        assert is_out_of_memory(error)
        assert str(error).endswith("low on memory OOM kill reason: much")


def test_it_ends_with_the_block(failed):
    manager, _, task, _ = failed
    with memory_is_lost_like_a_process():
        pass
    with pytest.raises(RuntimeError, match="unexpected"):
        manager._actor_task_failed(tracked_actor_task=task, exception=ENDED)
