"""Ray for a stage that runs in this process: the cluster of the job that it is, or one of its own."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rayrl.errors import ResourceError
from rayrl.pipeline.private_ray import make_ray_temp
from rayrl.pipeline.resources import this_machine
from rayrl.pipeline.supervisor import RAY_FOLDER

_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def in_ray_job() -> bool:
    """Whether this process is the entry point of a Ray Job."""
    return _JOB in os.environ


def asked_by_controller() -> bool:
    """Whether `rayrl run` submitted the Ray Job that this process is, and so has asked the nodes already."""
    return "run" in json.loads(os.environ[_JOB])["metadata"]


def choose_token() -> None:
    """Gives the Ray that this process will start a token of its own, if it has none yet.

    Ray reads the mode when it is imported, so this comes before. Without a token, Ray would write one into
    the user's home folder.
    """
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if "ray" not in sys.modules:
        os.environ["RAY_AUTH_MODE"] = "token"


@contextmanager
def ray_session() -> Iterator[None]:
    """Ray, initialized for the length of a block.

    In a Ray Job it is the job's cluster; elsewhere one that Ray starts and ends with this process, without a
    dashboard, with a token of its own.

    Raises:
        ResourceError: Ray does not start.
        StorageError: the disk is full or not writable.
    """
    if in_ray_job():
        import ray

        ray.init(address="auto")
        try:
            yield
        finally:
            ray.shutdown()
        return
    choose_token()
    import ray

    machine = this_machine()
    temp = make_ray_temp()
    try:
        try:
            ray.init(
                address="local",
                num_cpus=int(machine["CPU"]),
                num_gpus=int(machine["GPU"]),
                include_dashboard=False,
                logging_level=logging.WARNING,
                _temp_dir=str(temp / RAY_FOLDER),
            )
        except Exception as error:  # a bare Exception, where a process of it is not up in time
            raise ResourceError(
                f"Ray did not start: {error}",
                where="this machine",
                remedy="the same command goes on; Ray waits about half a minute for its processes, which a "
                "machine busy with other work may not give it",
            ) from error
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(temp, ignore_errors=True)
