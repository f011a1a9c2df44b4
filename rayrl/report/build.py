"""Builds the report of a run folder, and the one that compares several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import rayrl.report.sections  # noqa: F401  (registers the sections)
from rayrl.errors import StorageError
from rayrl.report.figures.data import to_csv
from rayrl.report.figures.image import to_png
from rayrl.report.heading import heading_of, heading_of_several_runs
from rayrl.report.page import FIGURES, Built, Heading, charts_in, render
from rayrl.report.run_reader import read_run
from rayrl.report.sections.registry import file_names, sections_comparing, sections_for
from rayrl.report.several_runs import read_several_runs
from rayrl.storage.atomic import atomic_folder

FOLDER = "report"
PAGE = "report.html"


def build_report(run_dir: Path | str, out: Path | str | None = None) -> Path:
    """Writes ``report.html``, ``figures/*.{png,csv}`` and what sections put beside them, all or none.

    Whatever the run has so far is reported; what is missing or damaged is named in the page.

    Args:
        run_dir: the run folder.
        out: the folder to write; by default ``report`` in the run folder.

    Returns:
        The page.

    Raises:
        RunError: the folder holds no run.
        IntegrityError: its ``config.json`` is damaged.
        StorageError: the disk is full or not writable, or ``out`` holds something else.
    """
    run = read_run(Path(run_dir))
    built = [(section, section.build(run)) for section in sections_for(run)]
    target = Path(run_dir) / FOLDER if out is None else _replaceable(Path(out))
    files = {name: text(run) for section, _ in built for name, text in section.files.items()}
    return _write(target, heading_of(run), built, files)


def compare_runs(run_dirs: Sequence[Path | str], out: Path | str) -> Path:
    """Writes one such page that holds several runs against each other.

    Args:
        run_dirs: the run folders; the others are held against the first.
        out: the folder to write.

    Returns:
        The page.

    Raises:
        ConfigError: a run is named twice, or there are too many.
        RunError: a folder holds no run.
        IntegrityError: a ``config.json`` is damaged.
        StorageError: the disk is full or not writable, or ``out`` holds something else.
    """
    runs = read_several_runs([Path(path) for path in run_dirs])
    return _write(_replaceable(Path(out)), heading_of_several_runs(runs), sections_comparing(runs))


def _replaceable(target: Path) -> Path:
    """A folder of the user's choice, which must be free, or hold nothing but a report."""
    known = {PAGE, FIGURES, *file_names()}
    if target.is_dir() and (others := sorted({file.name for file in target.iterdir()} - known)):
        raise StorageError(
            f"the folder holds something besides a report: {others[0]}",
            where=str(target),
            remedy="name a new folder, or an earlier report's",
        )
    return target


def _write(
    target: Path, heading: Heading, built: Sequence[Built], files: Mapping[str, str] = MappingProxyType({})
) -> Path:
    with atomic_folder(target, "the report") as folder:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / FIGURES).mkdir()
        for chart in charts_in(built):
            (folder / FIGURES / f"{chart.name}.png").write_bytes(to_png(chart))
            (folder / FIGURES / f"{chart.name}.csv").write_text(to_csv(chart), encoding="utf-8")
        (folder / PAGE).write_text(render(heading, built), encoding="utf-8")
    return target / PAGE
