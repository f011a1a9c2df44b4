"""A cluster that refuses, or is too busy: what it said is told whole, but not Ray's page about tokens."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
import ray

from rayrl.errors import RunError
from rayrl.pipeline.cluster import connect

VERSION = json.dumps({"version": "4", "ray_version": ray.__version__, "ray_commit": ""})


@pytest.fixture
def serving():
    """Starts a dashboard; gives its URL."""
    servers = []

    def start(handler: type[BaseHTTPRequestHandler]) -> str:
        servers.append(HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def refusing(serving):
    """Starts a dashboard that answers with one status and text; with 500, it still tells its version."""

    def start(status: int, text: str) -> str:
        class Refusal(BaseHTTPRequestHandler):
            def do_GET(self):
                known = status == 500 and self.path == "/api/version"
                self.send_response(200 if known else status)
                self.end_headers()
                self.wfile.write((VERSION if known else text).encode())

            def log_message(self, *arguments):
                pass

        return serving(Refusal)

    return start


class Busy(BaseHTTPRequestHandler):
    """A dashboard whose agent loses connections; ``taken`` are the jobs that it knows."""

    taken: ClassVar[list[str]] = []
    answers: ClassVar[list[tuple[int | None, bool]]] = []
    """What comes of each submission: its status, None for a lost connection, and whether the job is taken."""

    def do_GET(self):
        if self.path == "/api/version":
            self.answer(200, json.loads(VERSION))
        elif self.path.removeprefix("/api/jobs/") in self.taken:
            self.answer(200, {"type": "SUBMISSION", "entrypoint": "true", "status": "PENDING"})
        else:
            self.answer(200 if self.path == "/api/jobs/" else 404, [])

    def do_POST(self):
        status, is_taken = self.answers.pop(0)
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["submission_id"]
        self.taken.extend([job] * is_taken)
        if status is not None:
            self.answer(status, {"job_id": job, "submission_id": job})

    def answer(self, status, value):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize(
    "answers", [[(500, False), (200, True)], [(500, True)], [(None, False), (200, True)], [(None, True)]]
)
def test_a_job_that_is_lost_on_its_way_is_submitted_until_it_is_taken_once(serving, answers):
    Busy.taken, Busy.answers = [], list(answers)
    connect(serving(Busy)).submit(entrypoint="true", submission_id="run-train-1")
    assert (Busy.taken, Busy.answers) == (["run-train-1"], [])


def test_a_job_that_the_cluster_refuses_is_not_submitted_again(serving):
    Busy.taken, Busy.answers = [], [(400, False), (200, True)]
    with pytest.raises(RunError, match=r"the cluster did not take the job: .*status code 400"):
        connect(serving(Busy)).submit(entrypoint="true", submission_id="run-train-1")
    assert len(Busy.answers) == 1


def test_all_that_a_cluster_says_is_told(refusing):
    address = refusing(500, "Traceback:\nValueError: no such table")
    with pytest.raises(RunError) as error:
        connect(address)
    assert error.value.where == f"--address {address}"
    assert (
        "the cluster does not answer: Request failed with status code 500: Traceback:\nValueError: no such"
        in (error.value.message)
    )


@pytest.mark.parametrize(("status", "text"), [(401, "Unauthorized: Missing"), (403, "Forbidden: Invalid")])
def test_a_missing_or_wrong_token_is_told_as_such(refusing, status, text):
    with pytest.raises(RunError, match=f"the cluster wants a token: Authentication .*{text}") as error:
        connect(refusing(status, text))
    assert "\n" not in error.value.message
    assert "RAY_AUTH_TOKEN" in error.value.remedy
