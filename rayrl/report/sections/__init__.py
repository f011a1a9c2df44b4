"""The sections that every report may have."""

from rayrl.report.sections import (
    actions,
    categories,
    chunks,
    cloning,
    demonstrations,
    divergence,
    drawn,
    drops,
    failures,
    learning_curves,
    levels,
    results,
    setup,
    target,
    timing,
    verdict,
    warnings,
)
from rayrl.report.sections.registry import register_section

for _module in (
    failures, verdict, learning_curves, target, drops, results, categories, levels, drawn, demonstrations,
    cloning, actions, divergence, timing, chunks, setup, warnings,
):  # fmt: skip
    register_section(_module.SECTION)
