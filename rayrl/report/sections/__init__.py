"""The sections that every report may have."""

from rayrl.report.sections import (
    actions,
    categories,
    cloning,
    learning_curves,
    results,
    setup,
    timing,
    verdict,
    warnings,
)
from rayrl.report.sections.registry import register_section

for _module in (verdict, learning_curves, results, categories, cloning, actions, timing, setup, warnings):
    register_section(_module.SECTION)
