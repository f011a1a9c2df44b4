"""What a stage's function is given, and what it gives back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.records import ROOT
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import StageUnit

if TYPE_CHECKING:
    from rayrl.algorithms.algorithm import ColumnarAlgorithm

_PROGRESS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class StageOutputs:
    """What a unit wrote."""

    files: tuple[Path, ...]
    """Files in the run folder, on which later stages build; their hashes go into the manifest."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Anything else worth keeping in the manifest, as plain JSON values."""


class StageContext:
    """The experiment, the run folder, and the ways to be heard while a unit runs.

    Args:
        experiment: the run's experiment; its paths are absolute.
        folder: the run folder.
        unit: the unit that runs.
        interrupted: whether the process was asked to end by a signal.
        local: keep everything in this process, for debugging.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: RunFolder,
        unit: StageUnit,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        local: bool = False,
    ) -> None:
        self.experiment = experiment
        self.folder = folder
        self.unit = unit
        self.local = local
        self.log = logging.getLogger(f"{ROOT}.{unit.kind.name}")
        self._interrupted = interrupted
        self._next_progress = 0.0

    def stop_requested(self) -> bool:
        """Whether to write a checkpoint and return None.

        ``rayrl stop``, Ctrl-C in ``rayrl run`` and ``ray job stop`` ask for it.
        """
        return self._interrupted() or self.folder.stop_file.exists()

    def warn(self, text: str) -> None:
        """Says what is not as it should be, and which field to change; the terminal shows it.

        Args:
            text: without a full stop.
        """
        self.log.warning("%s", text, extra={"fields": {"event": "warning"}})

    def learned(self, algorithm: ColumnarAlgorithm) -> None:
        """Is called with an algorithm that has learned all it is to learn, for those who look into it."""

    def progress(self, done: float, total: float, unit: str, **values: float) -> None:
        """Says how far the unit is; records come at most once a second, and at the end.

        Args:
            done: how much is done.
            total: how much there is to do.
            unit: what is counted, in the plural (``steps``).
            values: numbers worth showing (``loss``, ``episode_return_mean``).
        """
        now = time.monotonic()
        if now < self._next_progress and done < total:
            return
        self._next_progress = now + _PROGRESS_EVERY_S
        fields = {"event": "progress", "done": done, "total": total, "unit": unit, **values}
        shown = "".join(f", {name} {value:.4g}" for name, value in values.items())
        self.log.info(f"{done:,.0f} of {total:,.0f} {unit}{shown}", extra={"fields": fields})
