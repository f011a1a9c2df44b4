"""A warm start that is run again: what the last one led to is set aside, once.

aside/warm_start_<n>/<architecture>/pretrain/, with_pretrain…/    what was there
warm_start.json                                           until the run is finished: it was set aside already
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import plan
from rayrl.storage.atomic import read_json, storage_errors, write_json
from rayrl.storage.manifest import MANIFEST_FILE

_MARK = "warm_start.json"
_WHAT = "the state of a forced warm start"
_AGAIN = ("pretrain", "train", "evaluate", "report")
_MOVED = ("pretrain", "with_pretrain", "with_pretrain_no_kl")


def set_aside(folder: RunFolder, experiment: Experiment, *, forced: bool) -> Path | None:
    """Moves pretrained policies and what was trained from them aside, so that they are made again.

    Killed on the way, the next call completes it; asked again before the run is finished, it does nothing.
    The lock of the folder must be held.

    Args:
        folder: the run folder, prepared.
        experiment: the run's experiment.
        forced: whether this call asks for it.

    Returns:
        Where things were moved to; None where nothing was.

    Raises:
        StorageError: the disk is full or not writable.
    """
    mark = folder.path / _MARK
    if mark.exists():
        state = read_json(mark, _WHAT)
        if state["moved"]:
            return None
        target = folder.path / str(state["aside"])
    elif not forced or not any(_sources(folder, experiment)):
        return None
    else:
        aside = folder.path / "aside"
        target = aside / f"warm_start_{1 + len(list(aside.glob('warm_start_*')))}"
        write_json(mark, {"aside": str(target.relative_to(folder.path)), "moved": False}, _WHAT)
    with storage_errors(target, "what is set aside"):
        for unit in plan(experiment):
            if unit.kind.name in _AGAIN:
                (folder.stage(unit.name) / MANIFEST_FILE).unlink(missing_ok=True)
        for source in _sources(folder, experiment):
            kept = target / source.relative_to(folder.path)
            kept.parent.mkdir(parents=True, exist_ok=True)
            source.rename(kept)
    write_json(mark, {"aside": str(target.relative_to(folder.path)), "moved": True}, _WHAT)
    return target


def forget(folder: RunFolder) -> None:
    """Lets the next call that forces a warm start do so: this one is finished."""
    (folder.path / _MARK).unlink(missing_ok=True)


def _sources(folder: RunFolder, experiment: Experiment) -> Iterator[Path]:
    for name in experiment.architectures:
        for part in _MOVED:
            if (path := folder.path / name / part).is_dir():
                yield path
