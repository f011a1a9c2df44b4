"""What is kept of a batch that cannot be learned from, since its loss is not a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from rayrl.errors import TrainingError
from rayrl.storage.atomic import write_bytes


def check_losses(
    statistics: Mapping[str, float], columns: Mapping[str, Tensor], folder: Path | None, *, name: str
) -> None:
    """Refuses an update whose losses are not all finite.

    Steps with such a gradient have been left out by then, so the weights are still good; but the next batch
    would fare no better.

    Args:
        statistics: numbers of the update, losses among them.
        columns: ``(rows, ...)`` what was learned from.
        folder: where the columns are saved as ``<name>.safetensors``; None for nowhere.
        name: names the update.

    Raises:
        TrainingError: one of the numbers is not finite.
        StorageError: the columns cannot be saved.
    """
    bad = [key for key, value in statistics.items() if not math.isfinite(value)]
    if not bad:
        return
    rows = {key: column for key, column in columns.items() if column.is_floating_point()}
    bad_columns = [key for key, column in rows.items() if not bool(column.isfinite().all())]
    seen = (
        f", where {', '.join(bad_columns)} of the batch {_is_not_finite(bad_columns)}" if bad_columns else ""
    )
    kept = "training"
    if folder is not None:
        file = folder / f"{name}.safetensors"
        tensors = {key: column.detach().cpu().contiguous() for key, column in columns.items()}
        write_bytes(file, safetensors.torch.save(tensors), "a batch that cannot be learned from")
        kept = str(file)
    raise TrainingError(
        f"{', '.join(bad)} {_is_not_finite(bad)}{seen}",
        where=kept,
        remedy="the checkpoints are from before; look at the environment's observations and rewards, lower "
        "train.options.lr, or set train.options.grad_clip",
    )


def _is_not_finite(names: list[str]) -> str:
    return "is not finite" if len(names) == 1 else "are not finite"
