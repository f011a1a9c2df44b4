"""What an evaluation found: one number per episode and metric. ``eval_results.json`` is its form on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rayrl.config import Config
from rayrl.errors import ConfigError, DataError, IntegrityError
from rayrl.evaluation.statistics import Summary, summarize
from rayrl.experience.dataset import EnvInfo
from rayrl.storage.atomic import read_json, write_json
from rayrl.storage.manifest import check_format_version

FORMAT_VERSION = "1.0"
RETURN = "episode_return"
LENGTH = "episode_length"
SUCCESS = "episode_success"
_WHAT = "the evaluation's results"


class ActorInfo(Config):
    """Who acted."""

    kind: Literal["policy", "demonstrator"]
    name: str
    """A policy's architecture, a demonstrator's registered name."""
    weights_sha256: str | None = None
    """Digest of a policy's weights, the one in its folder's ``policy.json``."""
    provenance: dict[str, Any] = Field(default={})
    """Where a policy comes from, as whoever saved it wrote."""
    deterministic: bool | None = None
    """Whether a policy took its most likely actions; None for demonstrators."""


class EvaluationResult(Config):
    """Episodes that one actor played; results of the same seeds and environment are paired.

    ``metrics`` has ``episode_return`` (undiscounted sum of raw rewards), ``episode_length`` (steps), where
    the environment tells it ``episode_success``, and every number in the ``info`` of an episode's last step.
    """

    format_version: str = FORMAT_VERSION
    env: EnvInfo
    actor: ActorInfo
    seed: int
    """Names the episodes, together with their number."""
    seeds: tuple[int, ...]
    """What each episode's environment was reset with."""
    num_envs: int
    """Episodes played side by side; actions that are drawn at random depend on it."""
    max_steps: int | None
    """Steps after which an episode was cut."""
    metrics: dict[str, tuple[float | None, ...]]
    """One number per episode, in the order of ``seeds``; None where it is not known."""
    versions: dict[str, str]

    @property
    def episodes(self) -> int:
        """How many were played."""
        return len(self.seeds)

    def values(self, metric: str) -> NDArray[np.float64]:
        """One number per episode, (episodes,); NaN where it is not known.

        Raises:
            DataError: there is no such metric.
        """
        if metric not in self.metrics:
            raise DataError(f"no metric {metric!r}; there are {', '.join(self.metrics)}", where=_WHAT)
        return np.array(self.metrics[metric], np.float64)

    def summary(self) -> dict[str, Summary]:
        """Mean, interval, standard deviation and median of every metric."""
        return {name: summarize(self.values(name)) for name in self.metrics}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, the summary among them."""
        summary = {name: value.model_dump() for name, value in self.summary().items()}
        return {**self.model_dump(mode="json"), "summary": summary}

    def save(self, path: Path) -> None:
        """Writes the results as JSON, whole or not at all.

        Raises:
            StorageError: the disk is full or not writable.
        """
        write_json(path, self.to_json(), _WHAT)


def load_result(path: Path) -> EvaluationResult:
    """Reads what ``EvaluationResult.save`` wrote.

    Raises:
        IntegrityError: it is missing, damaged, or of a version that is not known.
    """
    value = read_json(path, _WHAT)
    check_format_version(value, FORMAT_VERSION, path)
    try:
        result = EvaluationResult.parse({k: v for k, v in value.items() if k != "summary"}, where=str(path))
    except ConfigError as error:
        raise IntegrityError(error.message, where=str(path)) from None
    uneven = [name for name, values in result.metrics.items() if len(values) != result.episodes]
    if uneven:
        raise IntegrityError(f"{uneven[0]} has not one value for each of the seeds", where=str(path))
    return result


def metric_columns(values: Mapping[str, NDArray[np.float64]]) -> dict[str, tuple[float | None, ...]]:
    """Arrays as ``EvaluationResult.metrics`` holds them; what is not finite becomes None, as JSON needs."""
    return {
        name: tuple(value if math.isfinite(value) else None for value in array.tolist())
        for name, array in values.items()
    }
