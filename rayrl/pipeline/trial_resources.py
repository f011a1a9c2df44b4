"""The most memory that a trial took, as far as it is seen: ``resources.json`` in its folder.

A thread looks at the trial's own process several times a second, since what runs out of memory cannot say so
itself. What its workers and learners in other processes have is added as of the newest checkpoint. The file
is written whenever the peak has grown, and so outlives the process.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any, Self

from pydantic import NonNegativeInt

from rayrl.config import Config
from rayrl.errors import ConfigError, IntegrityError, StorageError
from rayrl.storage.atomic import read_json, write_json
from rayrl.storage.process_memory import own_bytes

RESOURCES_FILE = "resources.json"
_WHAT = "the record of a trial's memory"
_POLL_S = 0.2
_GROWTH = 1.02
"""From which on a peak is worth writing down."""

_log = logging.getLogger(__name__)


class TrialResources(Config):
    """Peaks over all of a trial's parts; null where nothing was seen."""

    peak_memory_bytes: NonNegativeInt | None = None
    """Of the processes of the trial together, without what they share."""
    peak_gpu_memory_bytes: NonNegativeInt | None = None
    """What PyTorch had allocated on one learner's GPU."""


def read_resources(trial: Path) -> TrialResources:
    """What is recorded in a trial's folder; nothing where that is missing, or damaged, which is logged."""
    file = trial / RESOURCES_FILE
    try:
        return TrialResources.parse(read_json(file, _WHAT), where=str(file)) if file.exists() else _NOTHING
    except (ConfigError, IntegrityError) as error:
        _log.warning("%s", error)
        return _NOTHING


_NOTHING = TrialResources()


class MemoryWatch:
    """Looks at this process from its ``__enter__`` to its ``__exit__``.

    Args:
        trial: the trial's folder, which must be there.
    """

    def __init__(self, trial: Path) -> None:
        self._trial = trial
        self._lock = threading.Lock()
        self._peak = read_resources(trial)
        self._written = self._peak
        self._others = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._ended.set()
        self._thread.join()
        self._look(last=True)

    def saw(self, total: int) -> None:
        """Takes in what all processes of the trial have together, in bytes."""
        with self._lock:
            self._others = max(0, total - own_bytes())
        self._look()

    def saw_gpu(self, allocated: int) -> None:
        """Takes in what was allocated on a learner's GPU, in bytes."""
        with self._lock:
            peak = max(allocated, self._peak.peak_gpu_memory_bytes or 0)
            self._peak = self._peak.model_copy(update={"peak_gpu_memory_bytes": peak})

    @property
    def peak(self) -> TrialResources:
        """The peaks so far."""
        return self._peak

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_S):
            self._look()

    def _look(self, *, last: bool = False) -> None:
        with self._lock:
            now = own_bytes() + self._others
            peak = max(now, self._peak.peak_memory_bytes or 0)
            self._peak = self._peak.model_copy(update={"peak_memory_bytes": peak})
            if peak > _GROWTH * (self._written.peak_memory_bytes or 0) or (
                last and self._peak != self._written
            ):
                self._write()

    def _write(self) -> None:
        try:
            write_json(self._trial / RESOURCES_FILE, self._peak.model_dump(), _WHAT)
        except StorageError as error:
            # What only tells of training stands in nobody's way.
            _log.warning("%s", error)
        self._written = self._peak
