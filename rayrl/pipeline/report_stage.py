"""The report stage: one HTML page from what the run folder holds."""

from __future__ import annotations

import rayrl.comparison.sections  # noqa: F401  (registers them)
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.report import build_report


def run(context: StageContext) -> StageOutputs | None:
    """Builds the report."""
    page = build_report(context.folder.path)
    return StageOutputs((page,))
