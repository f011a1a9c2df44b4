"""Builds the report of a run folder."""

from __future__ import annotations

from pathlib import Path

import rayrl.report.sections  # noqa: F401  (registers the sections)
from rayrl.report.figures.data import to_csv
from rayrl.report.figures.image import to_png
from rayrl.report.page import FIGURES, charts_in, render
from rayrl.report.run_reader import read_run
from rayrl.report.sections.registry import sections_for
from rayrl.storage.atomic import atomic_folder

FOLDER = "report"
PAGE = "report.html"


def build_report(run_dir: Path | str) -> Path:
    """Writes ``report/report.html`` and ``report/figures/*.{png,csv}``, all or none of them.

    Whatever the run has so far is reported; what is missing or damaged is named in the page.

    Args:
        run_dir: the run folder.

    Returns:
        The page.

    Raises:
        IntegrityError: the folder has no readable ``config.json``.
        StorageError: the disk is full or not writable.
    """
    run = read_run(Path(run_dir))
    built = [(section, section.build(run)) for section in sections_for(run)]
    target = Path(run_dir) / FOLDER
    with atomic_folder(target, "the report") as folder:
        (folder / FIGURES).mkdir()
        for chart in charts_in(built):
            (folder / FIGURES / f"{chart.name}.png").write_bytes(to_png(chart))
            (folder / FIGURES / f"{chart.name}.csv").write_text(to_csv(chart), encoding="utf-8")
        (folder / PAGE).write_text(render(run, built), encoding="utf-8")
    return target / PAGE
