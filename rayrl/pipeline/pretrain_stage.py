"""The pretrain stage of one architecture: one policy per seed, by behaviour cloning or as it was given.

Each seed is cloned in a process of its own. One that yields no policy, because something was raised or its
process was killed, is a failure of its own: the trials that would start from it are not trained, and never
from anything else; the others are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rayrl.errors import RayrlError, StorageError
from rayrl.experience.dataset import open_dataset
from rayrl.pipeline.collect_stage import demonstrations_folder, never_demonstrated
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.failure import FAILED, Failure, Kind, forget_failure, headline, write_failure
from rayrl.pipeline.out_of_memory import is_out_of_memory, pretraining_advice
from rayrl.pipeline.pretrain_process import clone_apart, was_lost
from rayrl.pipeline.pretrain_seed import OUTPUTS, SeedCloning, take_over
from rayrl.pipeline.trial_resources import read_resources
from rayrl.pipeline.trial_spec import pretrain_folder
from rayrl.rollout.demo_share import never_taken


def run(context: StageContext) -> StageOutputs | None:
    """Pretrains every seed that is not done.

    Raises:
        PolicyError: the policy to start from does not fit the architecture.
        IntegrityError: the demonstrations are damaged.
    """
    name, experiment = context.unit.architecture, context.experiment
    assert name is not None
    if not experiment.pretrain.skip_bc:
        _look_at_demonstrations(context)
    files: list[Path] = []
    failed: dict[str, str] = {}
    for seed in experiment.seeds:
        folder = pretrain_folder(context.folder, name, seed)
        try:
            if experiment.pretrain.skip_bc:
                take_over(context, seed)
            elif not _clone(context, seed):
                return None
        except StorageError:
            raise
        except Exception as error:
            if context.local:
                raise
            failure = _failure_of(error, context, folder, f"{name}-pretrain-seed_{seed}")
            write_failure(folder, failure)
            if not _others_go_on(context, seed, failed):
                raise
            failed[failure.name] = failure.error
            context.log.error("seed %d failed", seed, exc_info=True)
            context.warn(
                f"seed {seed} yields no policy, and what starts from it is not trained: "
                f"{headline(failure.error)}"
            )
            continue
        forget_failure(folder)
        files += [folder / output for output in OUTPUTS]
    return StageOutputs(tuple(files), extra={FAILED: failed} if failed else {})


def _look_at_demonstrations(context: StageContext) -> None:
    opened = open_dataset(demonstrations_folder(context.folder))
    opened.verify()
    if missing := never_taken(opened.manifest.extra.get("demonstrators", {})):
        in_replays = context.experiment.collect.replays is not None
        context.warn(never_demonstrated(missing, in_replays=in_replays))


def _clone(context: StageContext, seed: int) -> bool:
    """Clones a seed's policy; whether it is done, or was asked to stop."""
    cloning = SeedCloning(context, seed)
    if cloning.is_done:
        context.log.info("seed %d is done already", seed)
        return True
    return cloning.run() if context.local else clone_apart(context, seed)


def _others_go_on(context: StageContext, seed: int, failed: Mapping[str, str]) -> bool:
    """Whether there is anything to train without a seed's policy, and without those that failed."""
    experiment = context.experiment
    is_last = seed == experiment.seeds[-1] and len(failed) == len(experiment.seeds) - 1
    return "no_pretrain" in experiment.conditions or len(experiment.architectures) > 1 or not is_last


def _failure_of(error: Exception, context: StageContext, folder: Path, name: str) -> Failure:
    text = str(error) if isinstance(error, RayrlError) else f"{type(error).__name__}: {error}"
    kind: Kind = "lost" if was_lost(error) else "error"
    resources = read_resources(folder)
    if is_out_of_memory(error):
        kind = "out_of_memory"
        text += f"\n  {pretraining_advice(context.experiment.pretrain.batch_size, resources)}"
    return Failure(name=name, kind=kind, error=text, resources=resources)
