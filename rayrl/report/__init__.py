"""The report of a run: one HTML page, and its figures as PNG and CSV."""

from rayrl.report.build import build_report, compare_runs

__all__ = ["build_report", "compare_runs"]
