"""The report stage: one HTML page from what the run folder holds."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import rayrl.comparison.sections  # noqa: F401  (registers them)
from rayrl.errors import IntegrityError
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.run_folder import RunFolder
from rayrl.report import build_report
from rayrl.storage.manifest import MANIFEST_FILE, read_manifest, write_manifest


def run(context: StageContext) -> StageOutputs | None:
    """Builds the report."""
    page = build_report(context.folder.path)
    return StageOutputs(tuple(_files(page)))


def rebuild(run_dir: Path) -> Path:
    """Builds the report of a run anew, whatever its state; a stage that was done stays so.

    Args:
        run_dir: the run folder.

    Returns:
        The page.

    Raises:
        RunError: it is no run folder.
        StorageError: the disk is full or not writable.
    """
    page = build_report(run_dir)
    home = RunFolder(run_dir).stage("report")
    if not (home / MANIFEST_FILE).exists():
        return page
    # Of a damaged one `rayrl status` tells; the page is as good without.
    with suppress(IntegrityError):
        before = read_manifest(home)
        write_manifest(
            home,
            name=before.name,
            inputs=before.inputs,
            options=before.options,
            outputs=[os.path.relpath(file, home) for file in _files(page)],
            extra=before.extra,
        )
    return page


def _files(page: Path) -> list[Path]:
    """The page and all that lies beside it, which `rayrl compare` and others read."""
    return sorted(file for file in page.parent.rglob("*") if file.is_file())
