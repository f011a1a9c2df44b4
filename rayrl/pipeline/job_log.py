"""A job's output, copied to a file while it runs, as well as that goes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import aiohttp

from rayrl.pipeline.cluster import JobsClient

_RETRY_S = 1.0
_log = logging.getLogger(__name__)


class JobLog:
    """The part of a log file that holds one job's output, below a line with its id.

    Losing the stream, the log or the disk that it is copied to never ends the run: all of it is best effort.

    Args:
        client: the cluster's Jobs API.
        submission_id: the job.
        path: the file; what it holds of this job already is replaced.
    """

    def __init__(self, client: JobsClient, submission_id: str, path: Path) -> None:
        self._client = client
        self._submission_id = submission_id
        self._path = path
        self._written = 0
        self._start()

    async def follow(self) -> None:
        """Copies the output as it comes, until cancelled; attaches again when the stream ends."""
        while True:
            received = 0
            try:
                async for text in self._client.tail_job_logs(self._submission_id):
                    self._append(text[max(0, self._written - received) :])
                    received += len(text)
            except (RuntimeError, OSError, aiohttp.ClientError) as error:
                _log.debug("the log stream of %s ended: %s", self._submission_id, error)
            await asyncio.sleep(_RETRY_S)

    def complete(self) -> None:
        """Copies what the stream left out, after the job's end."""
        try:
            self._append(self._client.get_job_logs(self._submission_id)[self._written :])
        except (RuntimeError, OSError) as error:
            _log.debug("the log of %s cannot be read: %s", self._submission_id, error)

    def _start(self) -> None:
        header = f"=== {self._submission_id} ===\n"
        try:
            before = self._path.read_text(errors="replace") if self._path.exists() else ""
            self._path.write_text(before.partition(header)[0] + header)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._path, error)

    def _append(self, text: str) -> None:
        self._written += len(text)
        try:
            with self._path.open("a") as file:
                file.write(text)
        except OSError as error:
            _log.debug("%s cannot be written: %s", self._path, error)
