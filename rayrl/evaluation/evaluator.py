"""Evaluates policies and demonstrators on fixed seeds."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rayrl.config.seeding import Role, environment_seed
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, EnvError, ResourceError
from rayrl.evaluation.actors import Actor, Evaluable, actor_of
from rayrl.evaluation.endings import told_in, with_endings
from rayrl.evaluation.environment import episode_seed, evaluation_spec, make_evaluation_env
from rayrl.evaluation.episodes import Played, play, tells
from rayrl.evaluation.result import ActorInfo, EvaluationResult, metric_columns
from rayrl.experience.dataset import EnvInfo
from rayrl.storage.versions import versions

MAX_SLOTS = 16
"""Episodes played side by side, unless the caller says otherwise."""
MOST_ERRORS = 0.5
"""Share of the episodes that may raise; where more do, it is not these episodes that are wrong."""

_log = logging.getLogger(__name__)


def evaluate(
    actor: Evaluable,
    env: EnvSpec | str,
    *,
    episodes: int = 20,
    seed: int = 0,
    num_envs: int | None = None,
    deterministic: bool = True,
    max_steps: int | None = None,
    episode_timeout_s: float | None = None,
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
        episode_timeout_s: seconds after which it is; None lets it take its time.
        env_config: options of the environment that differ in evaluation.
        device: where a policy that is loaded from its folder runs.
        progress: told how many of the episodes are done, and of how many.

    Raises:
        PolicyError: the actor is unknown, or a policy whose spaces are not the environment's.
        ConfigError: an option is unknown or wrong.
        EnvError: the environment is unknown or cannot be built, or most of the episodes raised.
    """
    for name, value in (("episodes", episodes), ("num_envs", num_envs), ("max_steps", max_steps)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} = {value}: must be at least 1", where="evaluation")
    spec = evaluation_spec(EnvSpec(id=env) if isinstance(env, str) else env, env_config)
    who = actor_of(actor, spec.id, deterministic=deterministic, device=device)
    asked = unplayed(
        who.info,
        spec,
        episodes=episodes,
        seed=seed,
        num_envs=num_envs,
        max_steps=max_steps,
        episode_timeout_s=episode_timeout_s,
    )
    played = play_episodes(who, spec, asked, progress=progress)
    return result_of(asked, played, told=told_in(played))


def unplayed(
    actor: ActorInfo,
    spec: EnvSpec,
    *,
    episodes: int,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    levels: Sequence[str] = (),
    num_envs: int | None = None,
    max_steps: int | None = None,
    episode_timeout_s: float | None = None,
) -> EvaluationResult:
    """What is to be played: a result without metrics. It tells whether another one is of the same episodes.

    Args:
        actor: who acts.
        spec: the environment as it is evaluated.
        episodes: how many to play, >= 1.
        seed: names the episodes.
        seeds: what the environment is reset with in each episode, where that does not follow from ``seed``.
        levels: the level that each episode is of, where they have names.
        num_envs: episodes played side by side.
        max_steps: steps after which an episode is cut.
        episode_timeout_s: seconds after which it is.
    """
    if seeds is None:
        seeds = [episode_seed(seed, episode) for episode in range(episodes)]
    return EvaluationResult(
        env=EnvInfo(id=spec.id, config=spec.model_dump(mode="json", fallback=repr)["config"]),
        actor=actor,
        seed=seed,
        seeds=tuple(seeds),
        num_envs=min(num_envs or MAX_SLOTS, episodes),
        max_steps=max_steps,
        episode_timeout_s=episode_timeout_s,
        metrics={},
        levels=tuple(levels),
        versions=versions(),
    )


def play_episodes(
    actor: Actor,
    spec: EnvSpec,
    asked: EvaluationResult,
    *,
    start: int = 0,
    stop: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Played:
    """Plays some of the episodes that are asked for.

    What is drawn at random follows from the number of the first of the episodes that are played side by side:
    parts that begin at multiples of ``asked.num_envs`` hold together what the whole would.

    Episodes among which one raises are played again, each by itself, so that the others count.

    Args:
        actor: who acts.
        spec: the environment as it is evaluated.
        asked: what is to be played, as ``unplayed`` says it.
        start: the first episode, a multiple of ``asked.num_envs``.
        stop: the one after the last; None for all that follow.
        progress: told how many of them are done, and of how many.

    Raises:
        PolicyError: the actor's spaces are not the environment's.
        EnvError: the environment is unknown, or cannot be built.
        ResourceError: the machine cannot give what is needed; as does MemoryError.
    """
    stop, slots = asked.episodes if stop is None else stop, asked.num_envs
    env = make_evaluation_env(spec, slots)
    parts, told = list[Played](), tells(env)
    try:
        actor.check_fits(env, where=spec.id)
        for first in range(start, stop, slots):
            seeds = asked.seeds[first : min(first + slots, stop)]
            act = actor.begin(environment_seed(asked.seed, Role.evaluation, rank=1, iteration=first))
            try:
                parts.append(
                    play(env, act, seeds, max_steps=asked.max_steps, timeout_s=asked.episode_timeout_s)
                )
            except (ResourceError, MemoryError):
                raise
            except Exception:
                _log.warning("an episode of %s raised", spec.id, exc_info=True)
                parts += (_alone(actor, spec, asked, first + i) for i in range(len(seeds)))
                with contextlib.suppress(Exception):  # it is broken, and its end may fail as well
                    env.close()
                env = make_evaluation_env(spec, slots)
            if progress is not None:
                progress(min(first + slots, stop) - start, stop - start)
    finally:
        env.close()
    return Played.join(parts).telling(sorted(told))


def result_of(asked: EvaluationResult, played: Played, *, told: frozenset[str]) -> EvaluationResult:
    """The result of episodes that were played.

    Args:
        asked: what was to be played.
        played: all of its episodes.
        told: what the environment tells of endings, in these episodes or in others.

    Raises:
        EnvError: most of the episodes raised; the first one's traceback is logged.
    """
    faults = [fault for fault in played.faults if fault is not None]
    if len(faults) > MOST_ERRORS * asked.episodes:
        _log.error("an episode raised:\n%s", faults[0].trace)
        raise EnvError(
            f"{len(faults)} of {asked.episodes} episodes of the evaluation raised, the first one "
            f"{faults[0].message}",
            where=f"env {asked.env.id}",
        )
    messages = tuple(fault and fault.message for fault in played.faults)
    metrics = metric_columns(with_endings(played, told=told))
    return asked.model_copy(update={"metrics": metrics, "errors": messages if faults else ()})


def _alone(actor: Actor, spec: EnvSpec, asked: EvaluationResult, episode: int) -> Played:
    """Plays one episode in an environment of its own, which may raise."""
    env = make_evaluation_env(spec, 1)
    act = actor.begin(environment_seed(asked.seed, Role.evaluation, rank=1, iteration=episode))
    seeds, timeout_s = asked.seeds[episode : episode + 1], asked.episode_timeout_s
    try:
        return play(env, act, seeds, max_steps=asked.max_steps, timeout_s=timeout_s)
    except (ResourceError, MemoryError):
        raise
    except Exception as error:
        return Played.nothing_of(error, traceback.format_exc())
    finally:
        with contextlib.suppress(Exception):
            env.close()
