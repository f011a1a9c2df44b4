"""A Ray of a test's own, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def local_ray(**options: Any) -> Iterator[None]:
    """Ray for the length of a block; options are those of ``ray.init``."""
    import ray

    small = {
        "num_cpus": 4,
        "num_gpus": 0,
        "include_dashboard": False,
        "object_store_memory": 200 << 20,
        "log_to_driver": False,
    }
    ray.init(address="local", **{**small, **options})
    try:
        yield
    finally:
        ray.shutdown()
