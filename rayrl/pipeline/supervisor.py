"""The process that owns a run's private Ray, and ends it when the run's controller is gone.

    controller ──stdin──▶ supervisor ──▶ ray start --head --block ──▶ gcs, raylet, dashboard, workers, drivers
                              ⇅ socket pair
                            guard

=============  ==================================  ===========================================================
process        waits for                           then
=============  ==================================  ===========================================================
supervisor     stdin to close (the controller has  ends itself, and leaves the rest to the guard
               ended, however), or Ray to end
guard          the supervisor to end, however      kills every process with the run's mark, removes the
                                                   temporary folder, ends
supervisor     the guard to be killed              does the guard's work
=============  ==================================  ===========================================================

Both hold the run folder's lock and the supervisor's standard output, so that the lock is free, and the
controller reads the end of that output, only when nothing of this Ray is left.

Standard output carries one line, once Ray is up: ``{"dashboard": URL}``, or ``{"error": text}``. Another
shell of the same user gets URL and token as JSON from the Unix socket ``<temp>/access``, of mode 0600.

Run as ``python -m rayrl.pipeline.supervisor --temp-dir DIR --cpus N --gpus N`` with ``RAYRL_PRIVATE_RAY``,
``RAY_AUTH_MODE=token`` and ``RAY_AUTH_TOKEN`` in the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from rayrl.pipeline.processes import MARK, end_private_ray

ACCESS_SOCKET = "access"
RAY_FOLDER = "r"
"""Below the temporary folder, which only the user may enter: Ray opens its own folder to everyone."""
_START_TIMEOUT_S = 120.0
_START_ATTEMPTS = 3
_POLL_S = 0.1


def main() -> None:
    """Runs the supervisor and its guard until nothing is left of Ray."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--temp-dir", type=Path, required=True)
    parser.add_argument("--cpus", type=int, required=True)
    parser.add_argument("--gpus", type=int, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    here, there = socket.socketpair()
    if os.fork() == 0:
        os.setsid()
        here.close()
        there.recv(1)
        end_private_ray(os.environ[MARK], options.temp_dir, spare={os.getpid()})
        return
    there.close()
    _supervise(options.temp_dir, options.cpus, options.gpus, guard=here)
    guard_is_gone = bool(select.select([here], [], [], 0)[0])
    if guard_is_gone:
        end_private_ray(os.environ[MARK], options.temp_dir, spare={os.getpid()})


def _supervise(temp: Path, cpus: int, gpus: int, *, guard: socket.socket) -> None:
    """Starts Ray, says so, and waits for whatever ends it."""
    ray, dashboard = _start_ray(temp, cpus, gpus)
    if ray is None:
        _say(error=f"Ray did not start:\n{_last_lines(temp / 'ray.log')}")
        return
    token = os.environ["RAY_AUTH_TOKEN"]
    with _access_socket(temp / ACCESS_SOCKET) as access:
        _say(dashboard=dashboard)
        while ray.poll() is None:
            ready, _, _ = select.select([sys.stdin, guard, access], [], [], _POLL_S)
            if guard in ready or (sys.stdin in ready and not os.read(sys.stdin.fileno(), 1)):
                return
            if access in ready:
                connection, _ = access.accept()
                with connection:
                    connection.sendall(json.dumps({"dashboard": dashboard, "token": token}).encode())
    print(f"Ray ended with exit code {ray.returncode}:\n{_last_lines(temp / 'ray.log')}", file=sys.stderr)


def _start_ray(temp: Path, cpus: int, gpus: int) -> tuple[subprocess.Popen[bytes] | None, str]:
    """Starts a head node on free ports; again on others if another process took one of them meanwhile."""
    for _ in range(_START_ATTEMPTS):
        dashboard_port, client_port = _free_ports(2)
        options = {
            "temp-dir": temp / RAY_FOLDER,
            "port": 0,
            "ray-client-server-port": client_port,
            "include-dashboard": "true",
            "dashboard-host": "127.0.0.1",
            "dashboard-port": dashboard_port,
            "dashboard-agent-listen-port": 0,
            "num-cpus": cpus,
            "num-gpus": gpus,
        }
        command = [
            *(
                sys.executable,
                "-m",
                "ray.scripts.scripts",
                "start",
                "--head",
                "--block",
                "--disable-usage-stats",
            ),
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        with (temp / "ray.log").open("ab") as log:
            ray = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=temp)
        # `ray start` writes this file when all processes of the node are up.
        up, deadline = temp / RAY_FOLDER / "ray_current_cluster", time.monotonic() + _START_TIMEOUT_S
        while ray.poll() is None and not up.exists() and time.monotonic() < deadline:
            if select.select([sys.stdin], [], [], _POLL_S)[0] and not os.read(sys.stdin.fileno(), 1):
                break
        if up.exists() and ray.poll() is None:
            return ray, f"http://127.0.0.1:{dashboard_port}"
        if ray.poll() is None:
            break
    return None, ""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _access_socket(path: Path) -> socket.socket:
    before = os.umask(0o177)
    try:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
    finally:
        os.umask(before)
    server.listen()
    return server


def _say(**message: str) -> None:
    print(json.dumps(message), flush=True)


def _last_lines(path: Path, count: int = 20) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


if __name__ == "__main__":
    main()
