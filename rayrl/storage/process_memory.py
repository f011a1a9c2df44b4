"""What this process takes of the machine's memory."""

from __future__ import annotations

import psutil


def own_bytes() -> int:
    """Memory of this process, without what it shares with others."""
    memory = psutil.Process().memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))
