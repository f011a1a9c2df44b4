"""Evaluates policies and demonstrators on fixed seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayrl.config.seeding import Role, environment_seed
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, EnvError, RayrlError
from rayrl.evaluation.actors import Actor, Evaluable, actor_of
from rayrl.evaluation.environment import episode_seed, evaluation_spec, make_evaluation_env
from rayrl.evaluation.episodes import play
from rayrl.evaluation.result import ActorInfo, EvaluationResult, metric_columns
from rayrl.experience.dataset import EnvInfo
from rayrl.storage.versions import versions

MAX_SLOTS = 16
"""Episodes played side by side, unless the caller says otherwise."""


def evaluate(
    actor: Evaluable,
    env: EnvSpec | str,
    *,
    episodes: int = 20,
    seed: int = 0,
    num_envs: int | None = None,
    deterministic: bool = True,
    max_steps: int | None = None,
    env_config: Mapping[str, Any] | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Plays episodes whose seeds follow from ``seed`` and the episode's number alone.

    Whoever acts, episode i begins alike, so the results of several actors are paired. Needs no Ray.

    Args:
        actor: a policy, a policy folder, a demonstrator's factory, or its registered name.
        env: the environment as it is trained on, or its id; rayrl's own take their evaluation split.
        episodes: how many to play, >= 1.
        seed: names the episodes.
        num_envs: episodes played side by side. Actions that are drawn at random depend on it.
        deterministic: whether a policy takes its most likely actions; demonstrators act as they do.
        max_steps: steps after which an episode is cut; None lets the environment end it.
        env_config: options of the environment that differ in evaluation.
        device: where a policy that is loaded from its folder runs.
        progress: told how many of the episodes are done, and of how many.

    Raises:
        PolicyError: the actor is unknown, or a policy whose spaces are not the environment's.
        ConfigError: an option is unknown or wrong.
        EnvError: the environment is unknown, cannot be built, or raised.
    """
    for name, value in (("episodes", episodes), ("num_envs", num_envs), ("max_steps", max_steps)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} = {value}: must be at least 1", where="evaluation")
    spec = evaluation_spec(EnvSpec(id=env) if isinstance(env, str) else env, env_config)
    who = actor_of(actor, spec.id, deterministic=deterministic, device=device)
    result = unplayed(who.info, spec, episodes=episodes, seed=seed, num_envs=num_envs, max_steps=max_steps)
    columns = _play_all(who, spec, result.seeds, result.num_envs, seed, max_steps, progress)
    return result.model_copy(update={"metrics": metric_columns(columns)})


def unplayed(
    actor: ActorInfo,
    spec: EnvSpec,
    *,
    episodes: int,
    seed: int = 0,
    num_envs: int | None = None,
    max_steps: int | None = None,
) -> EvaluationResult:
    """What ``evaluate`` gives, but for the metrics: it tells whether a result is the one that is wanted.

    Args:
        actor: who acts.
        spec: the environment as it is evaluated.
        episodes: how many to play, >= 1.
        seed: names the episodes.
        num_envs: episodes played side by side.
        max_steps: steps after which an episode is cut.
    """
    return EvaluationResult(
        env=EnvInfo(id=spec.id, config=spec.model_dump(mode="json", fallback=repr)["config"]),
        actor=actor,
        seed=seed,
        seeds=tuple(episode_seed(seed, episode) for episode in range(episodes)),
        num_envs=min(num_envs or MAX_SLOTS, episodes),
        max_steps=max_steps,
        metrics={},
        versions=versions(),
    )


def _play_all(
    actor: Actor,
    spec: EnvSpec,
    seeds: Sequence[int],
    slots: int,
    seed: int,
    max_steps: int | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str, NDArray[np.float64]]:
    env = make_evaluation_env(spec, slots)
    try:
        actor.check_fits(env, where=spec.id)
        parts = []
        for start in range(0, len(seeds), slots):
            act = actor.begin(environment_seed(seed, Role.evaluation, rank=1, iteration=start))
            parts.append(play(env, act, seeds[start : start + slots], max_steps=max_steps))
            if progress is not None:
                progress(min(start + slots, len(seeds)), len(seeds))
    except RayrlError:
        raise
    except Exception as error:
        raise EnvError(
            f"raised {type(error).__name__} in evaluation: {error}", where=f"env {spec.id}"
        ) from error
    finally:
        env.close()
    return _join(parts)


def _join(parts: Sequence[Mapping[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    """Chunks end to end; NaN where one of them lacks a metric."""
    names = dict.fromkeys(name for part in parts for name in part)
    length = [len(next(iter(part.values()))) for part in parts]
    return {
        name: np.concatenate(
            [part.get(name, np.full(n, np.nan)) for part, n in zip(parts, length, strict=True)]
        )
        for name in names
    }
