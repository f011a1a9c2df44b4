"""All units in this process, one after the other, for debugging: breakpoints work, tracebacks are whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rayrl.pipeline.execution import run_unit
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.ray_session import ray_session
from rayrl.pipeline.records import ROOT
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import StageUnit


@contextmanager
def local_runner(
    folder: RunFolder, experiment: Experiment, view: RunView
) -> Iterator[Callable[[StageUnit], bool]]:
    """Runs units in this process; Ray is started for the first one that needs it, and ended with the block.

    Args:
        folder: the run folder, prepared.
        experiment: the run's experiment.
        view: told what a unit records.
    """
    root = logging.getLogger(ROOT)
    with ExitStack() as stack:
        ray_is_up = False

        def run_one(unit: StageUnit) -> bool:
            nonlocal ray_is_up
            if unit.kind.uses_ray and not ray_is_up:
                stack.enter_context(ray_session())
                ray_is_up = True
            shown = _Shown(view, unit)
            root.addHandler(shown)
            try:
                return run_unit(unit, folder, experiment, local=True)
            finally:
                root.removeHandler(shown)

        yield run_one


class _Shown(logging.Handler):
    """Shows what a unit records on the terminal."""

    def __init__(self, view: RunView, unit: StageUnit) -> None:
        super().__init__()
        self._view = view
        self._unit = unit

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        self._view.record(self._unit, {"message": record.getMessage(), **fields})
