"""The evaluate stage: every policy and demonstrator on the same episodes, as Ray tasks of one CPU each.

<architecture>/<condition>/seed_<n>/eval_results.json     trained policies
<architecture>/pretrain/seed_<n>/eval_results.json        policies before their first PPO step
evaluate/demonstrators/<name>.json                        what taught them, and acting at random
all_results.json                                          the summaries of all
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from rayrl.envs.demonstrators import demonstrators_for
from rayrl.envs.spec import EnvSpec
from rayrl.errors import RayrlError
from rayrl.evaluation.evaluator import evaluate
from rayrl.evaluation.options import EvaluateOptions
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.trial_spec import pretrain_folder, trials_of
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
    """

    name: str
    actor: str
    file: Path


def run(context: StageContext) -> StageOutputs | None:
    """Evaluates everyone.

    Raises:
        PolicyError: a policy does not fit the environment.
        EnvError: the environment raised.
    """
    work = list(_work(context))
    summaries = _here(context, work) if context.local else _in_parallel(context, work)
    if summaries is None:
        return None
    results = context.folder.path / "all_results.json"
    write_json(results, {item.name: summaries[item.name] for item in work}, "all results")
    return StageOutputs((results, *(item.file for item in work)))


def _here(context: StageContext, work: list[Work]) -> dict[str, Any] | None:
    experiment, summaries = context.experiment, {}
    for item in work:
        if context.stop_requested():
            return None
        summaries[item.name] = _evaluate(item.actor, experiment.env, experiment.evaluate, item.file)
        context.progress(len(summaries), len(work), "evaluations")
    return summaries


def _in_parallel(context: StageContext, work: list[Work]) -> dict[str, Any] | None:
    experiment, summaries = context.experiment, {}
    task = ray.remote(num_cpus=1)(_evaluate)
    pending = {task.remote(item.actor, experiment.env, experiment.evaluate, item.file): item for item in work}
    while pending:
        if context.stop_requested():
            for reference in pending:
                ray.cancel(reference)
            return None
        ready, _ = ray.wait(list(pending), timeout=_POLL_S)
        for reference in ready:
            item = pending.pop(reference)
            try:
                summaries[item.name] = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, RayrlError) else error from None
            context.progress(len(summaries), len(work), "evaluations")
    return summaries


def _work(context: StageContext) -> Iterator[Work]:
    folder, experiment = context.folder, context.experiment
    for spec in trials_of(experiment):
        home = spec.folder(folder)
        yield Work(spec.name, str(home / "policy"), home / RESULTS_FILE)
    if experiment.pretrains:
        for name in experiment.architectures:
            for seed in experiment.seeds:
                home = pretrain_folder(folder, name, seed)
                yield Work(f"{name}-pretrain-seed_{seed}", str(home / "policy"), home / RESULTS_FILE)
    for demonstrator in demonstrators_for(experiment.env.id):
        file = folder.path / "evaluate" / "demonstrators" / f"{demonstrator}.json"
        yield Work(demonstrator, demonstrator, file)


def _evaluate(actor: str, env: EnvSpec, options: EvaluateOptions, file: Path) -> dict[str, Any]:
    """Plays the episodes, writes the result, and returns its summary."""
    result = evaluate(
        actor,
        env,
        episodes=options.episodes,
        seed=options.seed,
        max_steps=options.max_steps,
        env_config=options.env_config,
    )
    result.save(file)
    return {name: summary.model_dump() for name, summary in result.summary().items()}
