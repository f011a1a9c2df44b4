"""The collect stage: demonstrations, as one dataset that all trials share."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rayrl.errors import IntegrityError
from rayrl.experience.dataset import Dataset
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.run_folder import RunFolder
from rayrl.rollout.demo_share import never_taken
from rayrl.rollout.demos import collect_demonstrations
from rayrl.storage.atomic import read_json, remove_leftovers, write_json
from rayrl.storage.manifest import MANIFEST_FILE

_MADE_OF = "what the demonstrations are made of"


def demonstrations_folder(folder: RunFolder) -> Path:
    """Where a run's demonstrations are."""
    return folder.path / "collect"


def never_demonstrated(actions: Sequence[int], *, in_replays: bool = False) -> str:
    """What to make of Discrete actions, counted from 0, that nobody ever took.

    Args:
        actions: those.
        in_replays: whether the demonstrations are replays.
    """
    named = ", ".join(map(str, actions))
    if in_replays:
        what, more = f"no replay ever takes action {named}", "add to collect.replays some that do"
    else:
        what = f"no demonstrator ever took action {named}"
        more = "add to collect.demonstrators one that does, or to collect.scenarios one in which it is taken"
    return (
        f"{what}: a policy cloned from these will not take it either, which is fine if there is no use for "
        f"it; otherwise {more}"
    )


def run(context: StageContext) -> StageOutputs | None:
    """Collects what is missing, or simulates the replays.

    Raises:
        ConfigError: the environment has no such demonstrator or scenario, or the replays are of another one.
        PolicyError: a policy that is to demonstrate was made for other spaces.
        EnvError: the environment cannot be built, or keeps raising.
        DataError: a demonstrator raised, or a replay does not come to what it records.
    """
    path = demonstrations_folder(context.folder)
    identity_file = context.folder.stage(context.unit.name) / "made_of.json"
    options = context.unit.options(context.folder.config)
    if path.exists() and not (identity_file.exists() and read_json(identity_file, _MADE_OF) == options):
        context.log.info("the options changed: collecting anew")
        shutil.rmtree(path)
    write_json(identity_file, options, _MADE_OF)
    in_replays = context.experiment.collect.replays is not None
    dataset = (_simulated if in_replays else _collected)(context, path)
    if dataset is None:
        return None
    if missing := never_taken(dataset.manifest.extra["demonstrators"]):
        context.warn(never_demonstrated(missing, in_replays=in_replays))
    return StageOutputs((*(path / file.name for file in dataset.manifest.files), path / MANIFEST_FILE))


def _collected(context: StageContext, path: Path) -> Dataset | None:
    """Goes on with what is there; anew if that is damaged, as in a copy that was interrupted."""
    try:
        return _collect(context, path)
    except IntegrityError as damaged:
        if damaged.where is None or not Path(damaged.where).is_relative_to(path):
            raise
        context.warn(f"{damaged.where}: {damaged.message}: collecting the same demonstrations again")
        shutil.rmtree(path)
        return _collect(context, path)


def _collect(context: StageContext, path: Path) -> Dataset | None:
    return collect_demonstrations(
        context.experiment.env,
        path,
        context.experiment.collect,
        run_name=context.folder.record.run_id,
        progress=lambda done, total: context.progress(done, total, "steps"),
        stop_requested=context.stop_requested,
    )


def _simulated(context: StageContext, path: Path) -> Dataset | None:
    from rayrl.rollout.maze_replays import simulate_replays  # compiles the mine maze
    from rayrl.rollout.replay_demos import plan_replays

    # A killed attempt leaves a whole dataset, which is made again, or one of a temporary name.
    remove_leftovers(path.parent, path.name)
    return simulate_replays(
        plan_replays(context.experiment.env, context.experiment.collect),
        path,
        progress=lambda done, total: context.progress(done, total, "replays"),
        stop_requested=context.stop_requested,
    )
