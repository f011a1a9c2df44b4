"""Trials that Ray's memory monitor ends: to Tune they are processes that were lost, as others are.

For such an actor Ray raises ``OutOfMemoryError``, which is no ``RayActorError``. Tune 2.60 handles only the
latter: at the former it ends the whole experiment, or forgets it where an actor was about to start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

_HANDLERS = ("_actor_start_failed", "_actor_task_failed")
_LINES = 2
"""Of what Ray says, those that tell how much was used, and of how much; tables of processes follow."""


@contextmanager
def memory_is_lost_like_a_process() -> Iterator[None]:
    """Within it, Tune tries a trial again that the monitor ended, and then fails it alone."""
    handlers = {name: getattr(RayActorManager, name) for name in _HANDLERS}

    def as_lost(handle: Any) -> Any:
        def handle_as_lost(self: RayActorManager, *given: Any, exception: Exception, **named: Any) -> None:
            if isinstance(exception, OutOfMemoryError):
                said = " ".join(str(exception).splitlines()[:_LINES])
                exception = RayActorError(error_msg=f"it ran out of memory: {said}")
            handle(self, *given, exception=exception, **named)

        return handle_as_lost

    for name, handle in handlers.items():
        setattr(RayActorManager, name, as_lost(handle))
    try:
        yield
    finally:
        for name, handle in handlers.items():
            setattr(RayActorManager, name, handle)
