"""All units in this process, one after the other, for debugging: breakpoints work, tracebacks are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rayrl.pipeline.execution import run_unit
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.ray_session import ray_session
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
    with ExitStack() as stack:
        ray_is_up = False

        def run_one(unit: StageUnit) -> bool:
            nonlocal ray_is_up
            if unit.kind.uses_ray and not ray_is_up:
                stack.enter_context(ray_session())
                ray_is_up = True
            with view.records_of(unit):
                return run_unit(unit, folder, experiment, local=True)

        yield run_one
