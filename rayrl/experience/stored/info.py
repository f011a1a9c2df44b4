"""What a dataset or a saved replay buffer is and holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rayrl.errors import IntegrityError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.columns import ColumnSpec
from rayrl.experience.replay.parts import trajectory_texts
from rayrl.experience.replay.saved import TRAJECTORY_ID
from rayrl.experience.stored.opening import Progress, Stored, StoredPart
from rayrl.storage.manifest import MANIFEST_FILE

GROUPINGS = (c.SPLIT, c.DOMAIN, c.TASK, c.SOURCE, c.DEMONSTRATOR)


def describe(stored: Stored, progress: Progress | None = None) -> dict[str, Any]:
    """What is stored, as plain JSON values; reads the trajectories' columns of all files.

    Steps and trajectories are counted over all and by ``split``, ``domain``, ``task``, ``source``,
    ``demonstrator`` and ``partition``, as far as there are such columns. A trajectory of a saved buffer that
    lies in several blocks counts once.

    Args:
        stored: what was opened.
        progress: told of steps.

    Raises:
        IntegrityError: a file is missing, cut short or cannot be read.
    """
    stored.check()
    first = stored.parts[0].manifest if stored.parts else None
    manifest = stored.buffer or first
    assert manifest is not None  # a dataset has its one part
    counts = _Counts(stored)
    for part, batch in stored.batches(progress):
        counts.add(part, batch)
    files = [
        {"partition": part.name, **file.model_dump()} for part in stored.parts for file in part.manifest.files
    ]
    written = (stored.path / MANIFEST_FILE).stat().st_mtime
    return {
        "path": str(stored.path),
        "kind": stored.kind,
        "format_version": manifest.format_version,
        "written": datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds"),
        "env": manifest.env.model_dump(),
        "spaces": manifest.spaces,
        "trajectories": counts.total["trajectories"],
        "steps": counts.total["steps"],
        "bytes": sum(file["bytes"] for file in files),
        "counts": counts.to_json(),
        "columns": _columns(stored, 0),
        "trajectory_columns": _columns(stored, 1),
        "files": files,
        "versions": manifest.versions,
        "extra": first.extra if first is not None and stored.buffer is None else {},
        "options": stored.buffer.options.model_dump(mode="json") if stored.buffer else None,
    }


class _Counts:
    """Trajectories and steps, over all and by group."""

    def __init__(self, stored: Stored) -> None:
        self.total = {"trajectories": 0, "steps": 0}
        self._groups: dict[str, dict[str, dict[str, int]]] = {}
        self._met = np.zeros(stored.buffer.next_trajectory if stored.buffer else 0, np.bool_)

    def add(self, part: StoredPart, batch: TrajectoryBatch) -> None:
        ids: Any = batch.trajectory_columns.get(TRAJECTORY_ID)
        begun = np.ones(batch.num_trajectories, np.bool_)
        if ids is not None and len(self._met):
            if ids.min() < 0 or ids.max() >= len(self._met):
                raise IntegrityError(
                    f"trajectory {ids.max()} was given out by no buffer that has begun {len(self._met)}",
                    where=str(part.folder),
                )
            begun = np.zeros(batch.num_trajectories, np.bool_)
            begun[np.unique(ids, return_index=True)[1]] = True
            begun &= ~self._met[ids]
            self._met[ids] = True
        self._count(self.total, int(begun.sum()), batch.num_steps)
        groupings = {
            name: trajectory_texts(batch, name) for name in GROUPINGS if name in batch.trajectory_columns
        }
        if part.name:
            groupings["partition"] = [part.name] * batch.num_trajectories
        for name, values in groupings.items():
            members = self._groups.setdefault(name, {})
            distinct, of = np.unique(np.array(values, object).astype(str), return_inverse=True)
            new = np.bincount(of, begun, len(distinct))
            steps = np.bincount(of, batch.lengths, len(distinct))
            for value, trajectories, rows in zip(distinct.tolist(), new, steps, strict=True):
                group = members.setdefault(value, {"trajectories": 0, "steps": 0})
                self._count(group, int(trajectories), int(rows))

    def to_json(self) -> dict[str, Any]:
        return {name: dict(sorted(members.items())) for name, members in self._groups.items()}

    @staticmethod
    def _count(to: dict[str, int], trajectories: int, steps: int) -> None:
        to["trajectories"] += trajectories
        to["steps"] += steps


def _columns(stored: Stored, which: int) -> dict[str, dict[str, Any]]:
    """Columns of all parts, of the steps (0) or of the trajectories (1)."""
    found: dict[str, ColumnSpec] = {}
    for part in stored.parts:
        specs: Mapping[str, ColumnSpec] = part.read_specs()[which]
        found |= specs
    return {
        name: {"kind": spec.kind, "dtype": spec.dtype.name, "shape": list(spec.shape)}
        for name, spec in found.items()
    }
