"""The evaluate stage: every policy and demonstrator on the same episodes, as Ray tasks of one CPU each.

A task plays one category of one actor. Results are written as soon as all of an actor's categories are there;
who is evaluated already, with the same weights in the same episodes, does not play again.

<architecture>/<condition>/seed_<n>/eval_results.json     trained policies
<architecture>/pretrain/seed_<n>/eval_results.json        policies before their first PPO step
evaluate/demonstrators/<name>.json                        what taught them, and acting at random
all_results.json                                          the summaries of all
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from rayrl.envs.demonstrators import demonstrators_for
from rayrl.errors import IntegrityError, RayrlError
from rayrl.evaluation.actors import actor_of
from rayrl.evaluation.environment import evaluation_spec
from rayrl.evaluation.evaluator import evaluate, unplayed
from rayrl.evaluation.result import EvaluationResult, join_categories, load_result
from rayrl.evaluation.suites import AS_TRAINED, categories_of
from rayrl.models.policy_folder import read_description
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.node_probe import check_here
from rayrl.pipeline.shared_folder import Mark, marked
from rayrl.pipeline.tensorboard import write_evaluation
from rayrl.pipeline.trial_spec import pretrain_folder, trials_of
from rayrl.rollout.options import PolicyDemonstrator
from rayrl.storage.atomic import write_json

RESULTS_FILE = "eval_results.json"
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Work:
    """One evaluation.

    Args:
        name: who plays.
        actor: a policy folder, or a demonstrator's name.
        file: where the result goes.
        trained: whether it is a trial's policy.
    """

    name: str
    actor: str
    file: Path
    trained: bool = False


Part = tuple[Work, str]
"""Who, and in which category."""


def run(context: StageContext) -> StageOutputs | None:
    """Evaluates everyone in every category.

    Raises:
        PolicyError: a policy does not fit the environment.
        EnvError: the environment raised.
    """
    work = list(_work(context))
    experiment = context.experiment
    options = experiment.evaluate
    categories = categories_of(experiment.env, options.suite, options.categories)
    summaries: dict[str, Any] = {}
    parts: list[Part] = []
    for item in work:
        if (result := _finished(item, experiment, categories)) is None:
            parts += [(item, name) for name in categories]
        else:
            context.log.info("%s is evaluated already", item.name)
            summaries[item.name] = _summaries(result)
    played: dict[Work, dict[str, EvaluationResult]] = {item: {} for item, _ in parts}
    for item, category, result in (_here if context.local else _in_parallel)(context, parts):
        played[item][category] = result
        if len(played[item]) == len(categories):
            whole = _join({name: played[item][name] for name in categories})
            if item.trained:
                # First, since who has a file of results is not evaluated again.
                write_evaluation(item.file.parent, _last_step(item), played[item])
            whole.save(item.file)
            summaries[item.name] = _summaries(whole)
    if len(summaries) < len(work):
        return None
    results = context.folder.path / "all_results.json"
    write_json(results, {item.name: summaries[item.name] for item in work}, "all results")
    return StageOutputs((results, *(item.file for item in work)))


def _finished(
    item: Work, experiment: Experiment, categories: Mapping[str, Mapping[str, Any]]
) -> EvaluationResult | None:
    """The result that is there, if it is of the same actor, with the same weights, in the same episodes."""
    if not item.file.exists():
        return None
    try:
        found = load_result(item.file)
    except IntegrityError:
        return None
    actor = actor_of(item.actor, experiment.env.id, deterministic=True).info
    options = experiment.evaluate
    wanted = _join(
        {
            name: unplayed(
                actor,
                evaluation_spec(experiment.env, {**options.env_config, **changes}),
                episodes=options.episodes,
                seed=options.seed,
                max_steps=options.max_steps,
            )
            for name, changes in categories.items()
        }
    )
    same = found.model_copy(update={"metrics": {}}).model_dump(mode="json") == wanted.model_dump(mode="json")
    return found if same else None


def _join(results: Mapping[str, EvaluationResult]) -> EvaluationResult:
    return join_categories(results) if len(results) > 1 else results[AS_TRAINED]


def _last_step(item: Work) -> int:
    """The step of the trial whose policy was evaluated."""
    step: int = read_description(Path(item.actor)).provenance["step"]
    return step


def _summaries(result: EvaluationResult) -> dict[str, Any]:
    """By metric, as trained; where there are other categories, ``categories`` has the same for each."""
    stored = result.to_json()
    summary: dict[str, Any] = stored["summary"]
    return summary | ({"categories": stored["summary_by_category"]} if result.categories else {})


def _here(context: StageContext, parts: list[Part]) -> Iterator[tuple[Work, str, EvaluationResult]]:
    for done, (item, category) in enumerate(parts):
        if context.stop_requested():
            return
        yield item, category, _evaluate(item.actor, context.experiment, category)
        context.progress(done + 1, len(parts), "evaluations")


def _in_parallel(context: StageContext, parts: list[Part]) -> Iterator[tuple[Work, str, EvaluationResult]]:
    with marked(context.folder.stage(context.unit.name)) as mark:
        yield from _as_tasks(context, parts, mark)


def _as_tasks(
    context: StageContext, parts: list[Part], mark: Mark
) -> Iterator[tuple[Work, str, EvaluationResult]]:
    task, experiment = ray.remote(num_cpus=1)(_evaluate_there), ray.put(context.experiment)
    pending = {
        task.remote(mark, item.actor, experiment, category): (item, category) for item, category in parts
    }
    while pending:
        if context.stop_requested():
            for reference in pending:
                ray.cancel(reference)
            return
        ready, _ = ray.wait(list(pending), timeout=_POLL_S)
        for reference in ready:
            item, category = pending.pop(reference)
            try:
                yield item, category, ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, RayrlError) else error from None
            context.progress(len(parts) - len(pending), len(parts), "evaluations")


def _work(context: StageContext) -> Iterator[Work]:
    folder, experiment = context.folder, context.experiment
    for spec in trials_of(experiment):
        home = spec.folder(folder)
        yield Work(spec.name, str(home / "policy"), home / RESULTS_FILE, trained=True)
    if experiment.pretrains:
        for name in experiment.architectures:
            for seed in experiment.seeds:
                home = pretrain_folder(folder, name, seed)
                yield Work(f"{name}-pretrain-seed_{seed}", str(home / "policy"), home / RESULTS_FILE)
    actors = {name: name for name in demonstrators_for(experiment.env.id)}
    for name, given in experiment.collect.demonstrators.items():
        if isinstance(given, PolicyDemonstrator):
            actors[name] = str(given.policy)
    for name, actor in actors.items():
        yield Work(name, actor, folder.path / "evaluate" / "demonstrators" / f"{name}.json")


def _evaluate_there(mark: Mark, actor: str, experiment: Experiment, category: str) -> EvaluationResult:
    """The same on a node, which may have come since the run began."""
    check_here(mark)
    return _evaluate(actor, experiment, category)


def _evaluate(actor: str, experiment: Experiment, category: str) -> EvaluationResult:
    """Plays the episodes of one category."""
    options = experiment.evaluate
    changes = categories_of(experiment.env, options.suite, options.categories)[category]
    return evaluate(
        actor,
        experiment.env,
        episodes=options.episodes,
        seed=options.seed,
        max_steps=options.max_steps,
        env_config={**options.env_config, **changes},
    )
