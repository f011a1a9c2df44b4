"""A job's output, copied to a file while it runs, as well as that goes."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from types import TracebackType

import aiohttp

from rayrl.pipeline.cluster import JobsClient

_RETRY_S = 1.0
_POLL_S = 0.1
_log = logging.getLogger(__name__)


class JobLog:
    """Copies a job's output, below a line with its id, for the length of a block.

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
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"log of {submission_id}", daemon=True)

    def __enter__(self) -> None:
        header = f"=== {self._submission_id} ===\n"
        try:
            before = self._path.read_text(errors="replace") if self._path.exists() else ""
            self._path.write_text(before.partition(header)[0] + header)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._path, error)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        try:
            # What the stream left out.
            self._append(self._client.get_job_logs(self._submission_id)[self._written :])
        except (RuntimeError, OSError) as problem:
            _log.debug("the log of %s cannot be read: %s", self._submission_id, problem)

    def _run(self) -> None:
        asyncio.run(self._until_ended())

    async def _until_ended(self) -> None:
        following = asyncio.create_task(self._follow())
        while not self._ended.is_set():
            await asyncio.sleep(_POLL_S)
        following.cancel()

    async def _follow(self) -> None:
        """Copies the output as it comes, and attaches again when the stream ends."""
        while True:
            received = 0
            try:
                async for text in self._client.tail_job_logs(self._submission_id):
                    self._append(text[max(0, self._written - received) :])
                    received += len(text)
            except (RuntimeError, OSError, aiohttp.ClientError) as error:
                _log.debug("the log stream of %s ended: %s", self._submission_id, error)
            await asyncio.sleep(_RETRY_S)

    def _append(self, text: str) -> None:
        self._written += len(text)
        try:
            with self._path.open("a") as file:
                file.write(text)
        except OSError as error:
            _log.debug("%s cannot be written: %s", self._path, error)
