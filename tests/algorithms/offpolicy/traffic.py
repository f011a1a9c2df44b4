"""What passes through this process: bytes on its TCP connections, and of objects that it reads and makes."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray._private import serialization, worker

_BYTES_ACKED = 120
"""Offset in Linux' ``struct tcp_info`` of the bytes sent, with those received behind it."""


@dataclass
class Traffic:
    """Bytes that passed while it was counted.

    Attributes:
        tcp: sent and received on TCP connections, which is how Ray carries calls and small objects; those of
            connections that are closed meanwhile are missing.
        objects: of objects that were read or made, in the object store or not.
    """

    tcp: int = 0
    objects: int = 0
    _before: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Some bytes count twice: an object that came by TCP, and was read."""
        return self.tcp + self.objects


@contextmanager
def counted() -> Iterator[Traffic]:
    """Counts while the block runs."""
    traffic = Traffic()
    read, made = worker.Worker.deserialize_objects, serialization.SerializationContext.serialize

    def reading(self: Any, objects: Any, *args: Any, **kwargs: Any) -> Any:
        traffic.objects += sum(len(one[0]) for one in objects if one[0] is not None)
        return read(self, objects, *args, **kwargs)

    def making(self: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        serialized = made(self, value, *args, **kwargs)
        traffic.objects += serialized.total_bytes
        return serialized

    worker.Worker.deserialize_objects = reading
    serialization.SerializationContext.serialize = making
    before = _connections()
    try:
        yield traffic
    finally:
        worker.Worker.deserialize_objects = read
        serialization.SerializationContext.serialize = made
        after = _connections()
        traffic.tcp = sum(count - before.get(inode, 0) for inode, count in after.items())


def _connections() -> dict[int, int]:
    """Bytes sent and received so far on each TCP connection of this process, by the socket's inode."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if not str(path.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(path.name))) as one:
                if one.family not in (socket.AF_INET, socket.AF_INET6) or one.type != socket.SOCK_STREAM:
                    continue
                info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                found[os.fstat(one.fileno()).st_ino] = sum(struct.unpack_from("=2Q", info, _BYTES_ACKED))
    return found
