"""A seed's cloning in a process of its own, beside the stage's: what kills it ends nothing else.

the stage's process                        the seed's: a Ray task on the same node, which asks for nothing
───────────────────                        ───────────────────────────────────────────────────────────────
clone_apart ── run folder, seed ─────────▶ SeedCloning.run; its records go into those of the unit
     │ the run is to stop ── a file ─────▶ stops after the epoch
     ◀── whether the seed is done, or what was raised
     ◀── WorkerCrashedError, OutOfMemoryError: it was killed
"""

from __future__ import annotations

from pathlib import Path

import ray
import torch
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayrl.errors import StageError
from rayrl.pipeline.cgroup import oom_kills
from rayrl.pipeline.context import StageContext
from rayrl.pipeline.pretrain_seed import SeedCloning
from rayrl.pipeline.records import recorded
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.shared_folder import marked
from rayrl.pipeline.stages import stage_kind, units_of

_POLL_S = 0.5
_LINES = 2
"""Of what Ray says of memory, those that tell how much was used, and of how much."""


def clone_apart(context: StageContext, seed: int) -> bool:
    """Clones one seed's policy in another process, to the end or until asked to stop; whether it is done.

    Args:
        context: of the stage.
        seed: the seed.

    Raises:
        StageError: the process was lost; ``was_lost`` tells it from others.
        Exception: what was raised there.
    """
    # The same node: what the kernel counts here, it counts there, and all that is here is there.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=here)(_clone)
    killed_before = oom_kills()
    with marked(context.folder.stage(context.unit.name)) as mark:
        stop_file = mark.path / "stop"
        threads = torch.get_num_threads()
        reference = task.remote(context.folder.path, context.unit.architecture, seed, stop_file, threads)
        while not ray.wait([reference], timeout=_POLL_S)[0]:
            if context.stop_requested():
                stop_file.touch()
        try:
            return bool(ray.get(reference))
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise _lost(context, error, by_the_kernel=oom_kills() > killed_before) from error


def was_lost(error: BaseException) -> bool:
    """Whether an error of ``clone_apart`` is of a process that could not say why it ended."""
    return isinstance(error.__cause__, RayError) and not isinstance(error.__cause__, RayTaskError)


def _clone(run: Path, architecture: str, seed: int, stop_file: Path, threads: int) -> bool:
    # Ray gives a task that asks for no CPU one thread; the stage's process has as many as it is given.
    torch.set_num_threads(threads)
    folder = RunFolder(run)
    experiment = folder.experiment()
    (unit,) = (
        unit for unit in units_of(stage_kind("pretrain"), experiment) if unit.architecture == architecture
    )
    context = StageContext(experiment, folder, unit, interrupted=stop_file.exists)
    with recorded(folder.logs / f"{unit.name}.jsonl", run=folder.record.run_id):
        return SeedCloning(context, seed).run()


def _lost(context: StageContext, error: RayError, *, by_the_kernel: bool) -> StageError:
    if isinstance(error, OutOfMemoryError):
        said = " ".join(str(error).splitlines()[:_LINES])
        text = f"Ray ended its process, for the node ran out of memory: {said}"
    elif by_the_kernel:
        text = "the kernel ended its process, for the machine or the container ran out of memory"
    else:
        log = context.folder.logs / f"{context.unit.name}.log"
        text = f"its process was lost, and could not say why ({type(error).__name__}); see {log}"
    return StageError(text)
