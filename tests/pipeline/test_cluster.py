"""A cluster that refuses to answer: what it said is told whole, but not Ray's page about tokens."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import ray

from rayrl.errors import RunError
from rayrl.pipeline.cluster import connect

VERSION = json.dumps({"version": "4", "ray_version": ray.__version__, "ray_commit": ""})


@pytest.fixture
def refusing():
    """Starts a dashboard that answers with one status and text; with 500, it still tells its version."""
    servers = []

    def start(status: int, text: str) -> str:
        class Refusal(BaseHTTPRequestHandler):
            def do_GET(self):
                known = status == 500 and self.path == "/api/version"
                self.send_response(200 if known else status)
                self.end_headers()
                self.wfile.write((VERSION if known else text).encode())

            def log_message(self, *arguments):
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Refusal))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


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
