"""Evaluates in all categories that options name, as the evaluate stage does."""

from __future__ import annotations

from collections.abc import Mapping

from rayrl.envs.spec import EnvSpec
from rayrl.evaluation.actors import Evaluable, actor_of
from rayrl.evaluation.category import Category
from rayrl.evaluation.endings import told_in
from rayrl.evaluation.environment import evaluation_spec
from rayrl.evaluation.episodes import Played
from rayrl.evaluation.evaluator import play_episodes, result_of, unplayed
from rayrl.evaluation.options import EvaluateOptions
from rayrl.evaluation.result import ActorInfo, EvaluationResult, join_categories
from rayrl.evaluation.suites import categories_of


def evaluate_in_categories(
    evaluable: Evaluable, env: EnvSpec, options: EvaluateOptions, *, deterministic: bool = True
) -> EvaluationResult:
    """Plays every category in this process; needs no Ray.

    Args:
        evaluable: a policy, a policy folder, a demonstrator's factory, or its registered name.
        env: the environment as it is trained on.
        options: which episodes.
        deterministic: whether a policy takes its most likely actions; demonstrators act as they do.

    Raises:
        PolicyError: the actor is unknown, or a policy whose spaces are not the environment's.
        ConfigError: the suite or an option is unknown or wrong.
        DataError: the suite's file is damaged.
        EnvError: the environment is unknown or cannot be built, or most episodes of a category raised.
    """
    actor = actor_of(evaluable, env.id, deterministic=deterministic)
    categories = categories_of(env, options.suite, options.categories, levels=options.levels)
    asked, played = {}, {}
    for name, category in categories.items():
        spec, asked[name] = asked_in(category, actor.info, env, options)
        played[name] = play_episodes(actor, spec, asked[name])
    return result_in_categories(asked, played)


def asked_in(
    category: Category, actor: ActorInfo, env: EnvSpec, options: EvaluateOptions
) -> tuple[EnvSpec, EvaluationResult]:
    """What is to be played in a category: the environment, and the result without metrics.

    Raises:
        ConfigError: an option is unknown or wrong.
    """
    levels = category.levels
    spec = evaluation_spec(env, {**options.env_config, **category.changes})
    return spec, unplayed(
        actor,
        spec,
        episodes=len(levels) or options.episodes,
        seed=options.seed,
        seeds=range(len(levels)) if levels else None,
        levels=levels,
        max_steps=options.max_steps,
        episode_timeout_s=options.episode_timeout_s,
    )


def result_in_categories(
    asked: Mapping[str, EvaluationResult], played: Mapping[str, Played]
) -> EvaluationResult:
    """The result of all categories.

    Args:
        asked: by category, what was to be played.
        played: by category, all of its episodes.

    Raises:
        EnvError: most of the episodes of a category raised.
    """
    # Where all of a category are cut, the others say whether there are such things as success and death.
    told = frozenset[str]().union(*map(told_in, played.values()))
    return joined({name: result_of(each, played[name], told=told) for name, each in asked.items()})


def joined(results: Mapping[str, EvaluationResult]) -> EvaluationResult:
    """One result of all categories; the only one as it is."""
    return join_categories(results) if len(results) > 1 else next(iter(results.values()))
