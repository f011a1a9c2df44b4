"""The report's sections on architectures and conditions; importing this makes them part of every report."""

from rayrl.comparison.sections import decision, improvement, pretraining, scores, trials
from rayrl.report.sections.registry import register_section

for _module in (decision, scores, improvement, pretraining, trials):
    register_section(_module.SECTION)
