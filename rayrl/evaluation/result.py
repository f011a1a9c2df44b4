"""What an evaluation found: one number per episode and metric. ``eval_results.json`` is its form on disk."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
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
DEATH, TIMEOUT, STUCK, ERROR = "death", "timeout", "stuck", "error"
"""Why an episode failed: the first three as the environment tells them, 0 or 1."""
STEP_LIMIT = "max_steps"
"""Steps after which the environment cuts an episode, where it tells them."""
OPTIMAL_STEPS = "optimal_steps"
"""Steps of the shortest way to success, where the environment knows them."""
OF_LEVEL = frozenset({STEP_LIMIT, OPTIMAL_STEPS})
"""What tells of the episode's level, and nothing of who played it."""
_PER_EPISODE = ("category", "levels", "errors")
"""Fields that are empty, or hold something of each episode."""
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
    """Episodes that one actor played; results of the same seeds, environment and categories are paired.

    ``metrics`` has ``episode_return`` (undiscounted sum of raw rewards), ``episode_length`` (steps), where
    the environment tells it ``episode_success`` and with it ``timeout``, every number in the ``info`` of an
    episode's last step, and ``error`` where an episode raised.
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
    episode_timeout_s: float | None = None
    """Seconds after which an episode was cut."""
    metrics: dict[str, tuple[float | None, ...]]
    """One number per episode, in the order of ``seeds``; None where it is not known."""
    versions: dict[str, str]
    categories: dict[str, dict[str, Any]] = Field(default={})
    """By category, the options in which its environment differs from ``env``; empty where there is one."""
    category: tuple[str, ...] = ()
    """The category of each episode, in the order of ``seeds``, where there are categories."""
    levels: tuple[str | None, ...] = ()
    """The level of each episode, where the suite names levels; None of those that are of none."""
    errors: tuple[str | None, ...] = ()
    """What each episode raised, where any did; None of those that did not."""

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

    def within(self, category: str) -> EvaluationResult:
        """The episodes of one category, as a result of their own.

        Raises:
            DataError: there is no such category.
        """
        if category not in self.categories:
            raise DataError(
                f"no category {category!r}; there are {', '.join(self.categories) or 'none'}", where=_WHAT
            )
        mine = [i for i, name in enumerate(self.category) if name == category]
        env = EnvInfo(id=self.env.id, config=self.env.config | self.categories[category])
        return self._of_episodes(mine).model_copy(update={"env": env, "categories": {}, "category": ()})

    def of_seeds(self, seeds: Collection[int]) -> EvaluationResult:
        """The episodes of some seeds."""
        return self._of_episodes([i for i, seed in enumerate(self.seeds) if seed in seeds])

    def _of_episodes(self, indices: Sequence[int]) -> EvaluationResult:
        return self.model_copy(
            update={
                "seeds": tuple(self.seeds[i] for i in indices),
                "metrics": {name: tuple(values[i] for i in indices) for name, values in self.metrics.items()},
                **{name: _picked(getattr(self, name), indices) for name in _PER_EPISODE},
            }
        )

    def summary(self) -> dict[str, Summary]:
        """Mean, interval, standard deviation and median of every metric, over all episodes alike."""
        return {name: summarize(self.values(name)) for name in self.metrics}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, and summaries: of the first category, or else of all, of each category, and of
        how levels are solved where the environment tells success.
        """
        from rayrl.evaluation.level_metrics import level_metrics  # which is of results

        parts = {name: _summary(self.within(name)) for name in self.categories}
        first = next(iter(parts.values()), None) or _summary(self)
        further: dict[str, Any] = {"summary_by_category": parts} if parts else {}
        if (levels := level_metrics(self)) is not None:
            further["summary_of_levels"] = levels.model_dump()
        return {**self.model_dump(mode="json"), "summary": first, **further}

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
        stored = {key: item for key, item in value.items() if not key.startswith("summary")}
        result = EvaluationResult.parse(stored, where=str(path))
    except ConfigError as error:
        raise IntegrityError(error.message, where=str(path)) from None
    uneven = [name for name, values in result.metrics.items() if len(values) != result.episodes]
    uneven += [name for name in _PER_EPISODE if len(getattr(result, name)) not in (0, result.episodes)]
    if uneven:
        raise IntegrityError(f"{uneven[0]} has not one value for each of the seeds", where=str(path))
    if result.categories and (
        len(result.category) != result.episodes or {*result.category} != {*result.categories}
    ):
        raise IntegrityError("category has not one known category for each of the seeds", where=str(path))
    return result


def join_categories(results: Mapping[str, EvaluationResult]) -> EvaluationResult:
    """One result of several categories, which one actor played in variants of one environment.

    Args:
        results: by category; the first one's environment is what the others are said to differ from.
    """
    first, *_ = results.values()
    names = dict.fromkeys(name for result in results.values() for name in result.metrics)
    return first.model_copy(
        update={
            "seeds": tuple(seed for result in results.values() for seed in result.seeds),
            "metrics": {
                name: tuple(
                    value
                    for result in results.values()
                    for value in result.metrics.get(name, (None,) * result.episodes)
                )
                for name in names
            },
            "categories": {
                name: {
                    option: value
                    for option, value in result.env.config.items()
                    if option not in first.env.config or first.env.config[option] != value
                }
                for name, result in results.items()
            },
            "category": tuple(name for name, result in results.items() for _ in result.seeds),
            "levels": _joined(results, "levels"),
            "errors": _joined(results, "errors"),
        }
    )


def _picked(values: Sequence[str | None], indices: Sequence[int]) -> tuple[str | None, ...]:
    """Some of the values, where there are any; empty where none of these says anything."""
    picked = tuple(values[i] for i in indices) if values else ()
    return picked if any(value is not None for value in picked) else ()


def _joined(results: Mapping[str, EvaluationResult], field: str) -> tuple[str | None, ...]:
    """A field's values of all episodes; empty where it is so in all results."""
    if not any(getattr(result, field) for result in results.values()):
        return ()
    nothing = {name: (None,) * result.episodes for name, result in results.items()}
    return tuple(
        value for name, result in results.items() for value in getattr(result, field) or nothing[name]
    )


def _summary(result: EvaluationResult) -> dict[str, Any]:
    return {name: summary.model_dump() for name, summary in result.summary().items()}


def metric_columns(values: Mapping[str, NDArray[np.float64]]) -> dict[str, tuple[float | None, ...]]:
    """Arrays as ``EvaluationResult.metrics`` holds them; what is not finite becomes None, as JSON needs."""
    return {
        name: tuple(value if math.isfinite(value) else None for value in array.tolist())
        for name, array in values.items()
    }
