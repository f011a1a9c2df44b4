"""Ray in this process: one that modules share, since it starts slowly, or one of a test's own."""

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SETTLED_WITHIN_S = 10.0
_shared = False
"""Whether the Ray that runs is the shared one."""


def share_ray() -> None:
    """Starts the shared Ray, unless it runs."""
    global _shared
    import ray

    if _shared and ray.is_initialized():
        return
    end_ray()
    _start()
    _shared = True


def leave_ray() -> None:
    """Ends Ray, unless it is the shared one, and nothing of those who used it is left there."""
    gc.collect()  # what RLlib ends in a destructor must find its own Ray, or it would begin another
    if not (_shared and _is_empty()):
        end_ray()


def end_ray() -> None:
    """Ends the Ray that runs, if any."""
    global _shared
    if "ray" in sys.modules:
        import ray

        gc.collect()
        ray.shutdown()
    _shared = False


@contextmanager
def local_ray(**options: Any) -> Iterator[None]:
    """A Ray of the caller's own for the length of a block; options are those of ``ray.init``."""
    end_ray()
    _start(**options)
    try:
        yield
    finally:
        end_ray()


def _start(**options: Any) -> None:
    import ray

    small = {
        "num_cpus": 4,
        "num_gpus": 0,
        "include_dashboard": False,
        "object_store_memory": 200 << 20,
        "log_to_driver": False,
    }
    ray.init(address="local", **{**small, **options})


def _is_empty() -> bool:
    """Whether all actors have ended, and all that was taken is given back, within a while."""
    import ray
    from ray._private import state

    deadline = time.monotonic() + _SETTLED_WITHIN_S
    while ray.is_initialized():
        ended = all(actor["State"] == "DEAD" for actor in state.actors().values())
        if ended and ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return False
