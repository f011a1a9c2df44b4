"""The collect stage: demonstrations, as one dataset that all trials share."""

from __future__ import annotations

from pathlib import Path

from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.run_folder import RunFolder
from rayrl.rollout.demos import collect_demonstrations


def demonstrations_folder(folder: RunFolder) -> Path:
    """Where a run's demonstrations are."""
    return folder.path / "collect"


def run(context: StageContext) -> StageOutputs | None:
    """Collects what is missing."""
    raise NotImplementedError
