"""Asks a cluster's nodes, through its Jobs API alone, whether they share the run folder with this machine."""

from __future__ import annotations

import shlex
import sys
import time
from typing import Any

from ray.job_submission import JobDetails, JobStatus

from rayrl.errors import RunError
from rayrl.pipeline import stage_error
from rayrl.pipeline.cluster import JobsClient
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.shared_folder import Mark, marked, not_shared

_POLL_S = 0.3
_NO_RAYRL = ("No module named 'rayrl'", "No module named rayrl")
_NOT_FOUND = 127
"""A shell's exit code where there is no such program."""
_SHOWN_LINES = 5


def probe(client: JobsClient, folder: RunFolder, environment: dict[str, Any], view: RunView) -> None:
    """Makes sure that all nodes of a cluster see what is written here, and the other way round.

    Args:
        client: the cluster's Jobs API.
        folder: the run folder, prepared.
        environment: the runtime environment of the jobs.
        view: told of it.

    Raises:
        StorageError: nodes do not, naming them.
        EnvError: a node cannot import the environment's module.
        ResourceError: a node does not answer.
        RunError: the cluster cannot run rayrl.
    """
    nodes, env = client.node_names(), folder.experiment().env.id
    view.say(f"asking {len(nodes)} node{'s'[: len(nodes) > 1]} whether they share {folder}")
    with marked(folder.path) as mark:
        info = _run(client, folder, mark, list(nodes), env, environment)
        if info.status != JobStatus.SUCCEEDED:
            raise stage_error.from_output(info.message or "") or _unexpected(client, info)
        silent = mark.unanswered(nodes)
        there = client.node_names() if silent else {}
        # A node may have left meanwhile.
        if silent := [nodes[node] for node in silent if node in there]:
            raise not_shared(silent, folder.path)


def interpreter(*, is_here: bool) -> str:
    """The shell's word for the Python of a job.

    Args:
        is_here: whether the job runs on this machine. Elsewhere it is the same one where there is such a
            file, as on a shared file system or in the same image, and else the node's own ``python``.
    """
    own = shlex.quote(sys.executable)
    return own if is_here else f"$(command -v {own} || echo python)"


def _run(
    client: JobsClient, folder: RunFolder, mark: Mark, nodes: list[str], env: str, environment: dict[str, Any]
) -> JobDetails:
    """The job that asks, when it has ended."""
    submission_id = f"{folder.record.run_id}-probe-{mark.nonce[:8]}"
    arguments = [str(folder), mark.nonce, *nodes, "--env", env]
    client.submit(
        entrypoint=f"{interpreter(is_here=False)} -m rayrl.pipeline.node_probe {shlex.join(arguments)}",
        submission_id=submission_id,
        metadata={"run": folder.record.run_id, "folder": str(folder), "stage": "probe"},
        runtime_env=environment,
    )
    try:
        while (info := client.find_job(submission_id)) and not info.status.is_terminal():
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        client.stop_job(submission_id)
        raise
    if info is None:
        raise RunError("the cluster does not know the job any more", where=submission_id)
    return info


def _unexpected(client: JobsClient, info: JobDetails) -> RunError:
    message = info.message or ""
    if info.driver_exit_code == _NOT_FOUND or any(text in message for text in _NO_RAYRL):
        return RunError(
            "the cluster's Python has no rayrl",
            where=client.get_address(),
            remedy="install the same version on every node, for the `python` on the PATH of its `ray start`",
        )
    lines = "\n".join(message.splitlines()[-_SHOWN_LINES:])
    return RunError(f"its nodes could not be asked for the run folder: {lines}", where=client.get_address())
