"""A cluster's Jobs API and nodes, asked over HTTP with a limit on how long that may take."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import requests
from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobDetails, JobSubmissionClient

from rayrl.errors import RunError
from rayrl.pipeline.private_ray import Access
from rayrl.pipeline.resources import Bundle
from rayrl.pipeline.shared_folder import node_name
from rayrl.pipeline.working_dir import Package

REQUEST_TIMEOUT_S = 15.0
UPLOAD_TIMEOUT_S = 600.0
SUBMIT_TIMEOUT_S = 20.0
"""Seconds for which a job is submitted again that was lost on its way."""
_RETRY_S = 1.0
_MOST_NODES = 10_000
"""What the state API lists at most; without it, 100."""
_RESOURCES = ("CPU", "GPU")
# What is sent is told once; Ray would announce each job's upload.
logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)


class JobsClient(JobSubmissionClient):
    """Ray's client of the Jobs API, which says what it cannot do in rayrl's errors."""

    def find_job(self, submission_id: str) -> JobDetails | None:
        """What the cluster knows of a job; None when it does not know it.

        Raises:
            RunError: the cluster does not answer, or not as it should.
        """
        try:
            return self.get_job_info(submission_id)
        except (RuntimeError, OSError) as error:
            if "status code 404" in str(error):
                return None
            raise RunError(f"the cluster does not answer: {error}", where=self.get_address()) from None

    def submit(self, **arguments: Any) -> None:
        """Submits a job; the arguments are those of ``submit_job``, ``submission_id`` among them.

        Raises:
            RunError: the cluster did not take it.
        """
        deadline = time.monotonic() + SUBMIT_TIMEOUT_S
        while True:
            try:
                self.submit_job(**arguments)
                return
            except (RuntimeError, OSError) as error:
                # On a busy node connections are lost, to the dashboard and between it and its agent.
                lost = isinstance(error, requests.ConnectionError | requests.Timeout)
                passes = lost or "status code 500" in str(error)
                if not passes or time.monotonic() >= deadline:
                    text = f"the cluster did not take the job: {error}"
                    raise RunError(text, where=self.get_address()) from None
            time.sleep(_RETRY_S)
            if self.find_job(arguments["submission_id"]) is not None:
                return  # only the answer was lost

    def send(self, package: Package) -> str:
        """Uploads a working directory, unless the cluster has it; its URI for a job's runtime environment.

        Raises:
            RunError: the cluster did not take it.
        """
        try:
            uri: str = self._upload_package_if_needed(
                str(package.directory),
                include_gitignore=package.with_gitignore,
                excludes=list(package.excludes),
            )
        except (RayError, RuntimeError, OSError) as error:
            raise RunError(
                f"the cluster did not take the working directory: {error}", where=self.get_address()
            ) from None
        return uri

    def nodes(self) -> list[Bundle]:
        """CPUs and GPUs of each node that is alive.

        Raises:
            RunError: the cluster does not say.
        """
        return [
            {name: node["resources_total"].get(name, 0.0) for name in _RESOURCES} for node in self._alive()
        ]

    def node_names(self) -> dict[str, str]:
        """How to name each node that is alive, by its id.

        Raises:
            RunError: the cluster does not say.
        """
        return {node["node_id"]: node_name(node["node_ip"], node["node_id"]) for node in self._alive()}

    def _alive(self) -> list[dict[str, Any]]:
        try:
            answer = self._do_request("GET", f"/api/v0/nodes?limit={_MOST_NODES}")
            answer.raise_for_status()
            found = answer.json()["data"]["result"]["result"]
        except (RayError, RuntimeError, OSError, ValueError, KeyError) as error:
            where = self.get_address()
            raise RunError(f"the cluster does not list its nodes: {error}", where=where) from None
        return [node for node in found if node["state"] == "ALIVE"]

    def _do_request(self, method: str, endpoint: str, **arguments: Any) -> requests.Response:
        timeout = UPLOAD_TIMEOUT_S if method == "PUT" else REQUEST_TIMEOUT_S
        response: requests.Response = super()._do_request(
            method, endpoint, **{"timeout": timeout, **arguments}
        )
        return response


def connect(address: str, access: Access | None = None) -> JobsClient:
    """A client of a cluster's Jobs API.

    Args:
        address: URL of the dashboard, or any address of the cluster that Ray understands.
        access: the token to use; without it Ray finds the user's own (``RAY_AUTH_MODE``, ``RAY_AUTH_TOKEN``).

    Raises:
        RunError: nothing answers there, or it refuses the token.
    """
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        # They would override the address that is asked for.
        os.environ.pop(name, None)
    if access:
        _bypass_proxy("127.0.0.1")
    headers = {"Authorization": f"Bearer {access.token}"} if access else None
    try:
        client = JobsClient(address, headers=headers)
        client.list_jobs()
    except AuthenticationError as error:
        # Ray goes on for a page about its tokens.
        reason = error.message.partition("\n")[0]
        raise RunError(
            f"the cluster wants a token: {reason}",
            where=f"--address {address}",
            remedy="set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's",
        ) from None
    except (RayError, RuntimeError, OSError, ValueError) as error:
        raise RunError(
            f"the cluster does not answer: {error}",
            where=f"--address {address}",
            remedy="give its dashboard's URL; if it has a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN",
        ) from None
    return client


def _bypass_proxy(host: str) -> None:
    """Keeps requests to a host from a proxy that the environment names."""
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [*filter(None, os.environ.get(name, "").split(",")), host]
        os.environ[name] = ",".join(dict.fromkeys(hosts))
