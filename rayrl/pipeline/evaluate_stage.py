"""The evaluate stage: every policy and demonstrator on the same episodes, as Ray tasks of one CPU each.

A task plays some episodes of one category of one actor. Results are written as soon as all of an actor's
episodes are there; who is evaluated already, with the same weights in the same episodes, does not play again.
When nothing else of the stage runs, one policy of each architecture and condition is timed.

<architecture>/<condition>/seed_<n>/eval_results.json     trained policies
<architecture>/pretrain/seed_<n>/eval_results.json        policies before their first step of training
…/eval_results_stochastic.json                            the same with drawn actions, where asked for
<architecture>/<condition>/seed_<n>/latency.json          how long it takes to decide
evaluate/demonstrators/<name>.json                        what taught them, and acting at random
all_results.json                                          the summaries of all
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from rayrl.errors import IntegrityError, RayrlError
from rayrl.evaluation.episodes import Played
from rayrl.evaluation.latency import LATENCY_FILE, Latency, load_latency, measure_latency, save_latency
from rayrl.evaluation.result import EvaluationResult, load_result
from rayrl.evaluation.seen_levels import seen_in_training
from rayrl.evaluation.suites import AS_TRAINED
from rayrl.models.policy_folder import read_description
from rayrl.pipeline.context import StageContext, StageOutputs
from rayrl.pipeline.evaluation_plan import (
    Part,
    PlayedPart,
    Work,
    assemble,
    categories_in,
    is_of,
    parts_of,
    play_part,
    work_of,
)
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.failure import read_failure
from rayrl.pipeline.node_probe import check_here
from rayrl.pipeline.shared_folder import Mark, marked
from rayrl.pipeline.tensorboard import write_evaluation
from rayrl.pipeline.trial_spec import trials_of
from rayrl.report.run_data import of_category
from rayrl.storage.atomic import read_json, write_json

_POLL_S = 0.5


def run(context: StageContext) -> StageOutputs | None:
    """Evaluates everyone in every category.

    Raises:
        PolicyError: a policy does not fit the environment.
        EnvError: the environment cannot be built, or raised in most episodes of a category.
    """
    experiment = context.experiment
    work = list(work_of(context.folder, experiment))
    warnings = list(_warnings(experiment))
    for warning in warnings:
        context.warn(warning)
    done = {item for item in work if _is_finished(item, experiment)}
    for item in done:
        context.log.info("%s is evaluated already", item.says)
    for item, result in _play(context, [item for item in work if item not in done]):
        done.add(item)
        if item.trained:
            # First, since who has a file of results is not evaluated again.
            write_evaluation(item.file.parent, _last_step(item), _by_category(result))
        result.save(item.file)
    if len(done) < len(work) or (latencies := _measure_latency(context)) is None:
        return None
    summaries = context.folder.path / "all_results.json"
    write_json(summaries, _summaries(work), "all results")
    return StageOutputs((summaries, *(item.file for item in work), *latencies), {"warnings": warnings})


def _warnings(experiment: Experiment) -> Iterator[str]:
    """What the report will warn of as well."""
    seen = seen_in_training(experiment.env, categories_in(experiment), experiment.evaluate.env_config)
    if seen:
        yield seen


def _is_finished(item: Work, experiment: Experiment) -> bool:
    """Whether the result that is wanted is there."""
    try:
        return item.file.exists() and is_of(load_result(item.file), item, experiment)
    except IntegrityError:
        return False


def _play(context: StageContext, work: list[Work]) -> Iterator[tuple[Work, EvaluationResult]]:
    """The results, each as soon as all of its episodes are there; fewer, if asked to stop."""
    experiment = context.experiment
    categories = categories_in(experiment)
    parts = [part for item in work for part in parts_of(item, experiment, categories)]
    missing = {item: sum(part.work == item for part in parts) for item in work}
    played: dict[Work, dict[Part, Played]] = defaultdict(dict)
    done, total = 0, sum(part.episodes for part in parts)
    for part, (actor, episodes) in (_here if context.local else _in_parallel)(context, parts):
        item = part.work
        played[item][part] = episodes
        missing[item] -= 1
        done += part.episodes
        context.progress(done, total, "episodes")
        if not missing[item]:
            by_category: dict[str, list[Played]] = defaultdict(list)
            for one in sorted(played[item], key=lambda part: part.start):
                by_category[one.category].append(played[item][one])
            yield item, assemble(experiment, categories, actor, by_category)
            del played[item]


def _here(context: StageContext, parts: list[Part]) -> Iterator[tuple[Part, PlayedPart]]:
    for part in parts:
        if context.stop_requested():
            return
        yield part, play_part(part, context.experiment)


def _in_parallel(context: StageContext, parts: list[Part]) -> Iterator[tuple[Part, PlayedPart]]:
    with marked(context.folder.stage(context.unit.name)) as mark:
        yield from _as_tasks(context, parts, mark)


def _as_tasks(context: StageContext, parts: list[Part], mark: Mark) -> Iterator[tuple[Part, PlayedPart]]:
    task, experiment = ray.remote(num_cpus=1)(_play_there), ray.put(context.experiment)
    pending = {task.remote(mark, part, experiment): part for part in parts}
    while pending:
        if context.stop_requested():
            for reference in pending:
                ray.cancel(reference)
            return
        ready, _ = ray.wait(list(pending), timeout=_POLL_S)
        for reference in ready:
            yield pending.pop(reference), _answer(reference)


def _play_there(mark: Mark, part: Part, experiment: Experiment) -> PlayedPart:
    """Plays on a node, which may have come since the run began."""
    check_here(mark)
    return play_part(part, experiment)


def _answer(reference: ray.ObjectRef) -> Any:
    """What a task returns; what it raised is raised here as it was there."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, RayrlError) else error from None


def _measure_latency(context: StageContext) -> list[Path] | None:
    """Times a policy of each architecture and condition in turn; gives their files, None if asked to stop."""
    experiment = context.experiment
    if not experiment.evaluate.latency:
        return []
    there = [spec for spec in trials_of(experiment) if read_failure(spec.folder(context.folder)) is None]
    chosen = {(spec.architecture, spec.condition): spec for spec in reversed(there)}
    files = []
    for spec in chosen.values():
        if context.stop_requested():
            return None
        home = spec.folder(context.folder)
        policy, file = home / "policy", home / LATENCY_FILE
        files.append(file)
        if _is_measured(file, policy):
            continue
        if context.local:
            latency = measure_latency(policy, experiment.env)
        else:
            task = ray.remote(num_cpus=1)(measure_latency)
            latency = _answer(task.remote(str(policy), experiment.env))
        save_latency(latency, file)
        context.log.info("%s: %s", spec.name, _words(latency))
    return files


def _is_measured(file: Path, policy: Path) -> bool:
    try:
        return file.exists() and load_latency(file).weights_sha256 == read_description(policy).weights_sha256
    except IntegrityError:
        return False


def _words(latency: Latency) -> str:
    return "; ".join(
        f"decides on {each.batch} in {each.p50_ms:.3g} ms, in the slowest of 100 cases {each.p99_ms:.3g} ms"
        for each in latency.batches
    )


def _last_step(item: Work) -> int:
    """The step of the trial whose policy was evaluated."""
    step: int = read_description(Path(item.actor)).provenance["step"]
    return step


def _by_category(result: EvaluationResult) -> dict[str, EvaluationResult]:
    names = result.categories or (AS_TRAINED,)
    return {name: part for name in names if (part := of_category(result, name)) is not None}


def _summaries(work: list[Work]) -> dict[str, Any]:
    """By who played, those of drawn actions as ``stochastic`` in those of the most likely ones."""
    summaries: dict[str, Any] = {}
    for item in work:
        summary = _summary(item.file)
        if item.deterministic:
            summaries[item.name] = summary
        else:
            summaries[item.name]["stochastic"] = summary
    return summaries


def _summary(file: Path) -> dict[str, Any]:
    """By metric, as trained; ``categories`` has the same for each, and ``levels`` how levels are solved."""
    stored = read_json(file, "an evaluation's results")
    further = {"categories": "summary_by_category", "levels": "summary_of_levels"}
    summary: dict[str, Any] = stored["summary"]
    return summary | {name: stored[key] for name, key in further.items() if key in stored}
