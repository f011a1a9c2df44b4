"""Asking a run to stop: a request file in its folder, or a signal to its controller."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rayrl.pipeline.run_folder import RunFolder
from rayrl.storage.atomic import read_json, write_json

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def request_stop(folder: RunFolder, by: str) -> None:
    """Asks the running stage to write a checkpoint and end.

    Args:
        folder: the run folder.
        by: who asks, for the message.

    Raises:
        StorageError: the disk is full or not writable.
    """
    write_json(folder.stop_file, {"by": by}, "the request to stop")


def who_requested_stop(folder: RunFolder) -> str | None:
    """Who asked the run to stop; None when nobody did."""
    if not folder.stop_file.exists():
        return None
    by: str = read_json(folder.stop_file, "the request to stop")["by"]
    return by


@contextmanager
def first_signal(act: Callable[[int], None]) -> Iterator[None]:
    """Lets the first Ctrl-C, SIGTERM or SIGHUP within a block do something milder than end it.

    The second one raises ``KeyboardInterrupt``.

    Args:
        act: what the first one does, given the signal's number.
    """
    if threading.current_thread() is not threading.main_thread():
        # Python delivers signals to the main thread, whose handlers they are.
        yield
        return
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt
        act(number)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
