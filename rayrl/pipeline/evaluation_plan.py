"""What the evaluate stage plays: who, in which categories, cut into parts that are tasks.

However an evaluation is cut, it plays the same: see ``play_episodes``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rayrl.envs.demonstrators import demonstrators_for
from rayrl.envs.spec import EnvSpec
from rayrl.evaluation.actors import actor_of
from rayrl.evaluation.category import Category
from rayrl.evaluation.episodes import Played
from rayrl.evaluation.evaluator import MAX_SLOTS, play_episodes
from rayrl.evaluation.in_categories import asked_in, joined, result_in_categories
from rayrl.evaluation.result import ActorInfo, EvaluationResult
from rayrl.evaluation.suites import categories_of
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.failure import read_failure
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.trial_spec import pretrain_folder, trials_of
from rayrl.rollout.options import PolicyDemonstrator

RESULTS_FILE = "eval_results.json"
STOCHASTIC_FILE = "eval_results_stochastic.json"
PART_EPISODES = 4 * MAX_SLOTS
"""Episodes of a task, at most."""


@dataclass(frozen=True, slots=True)
class Work:
    """One evaluation.

    Args:
        name: who plays.
        actor: a policy folder, or a demonstrator's name.
        file: where the result goes.
        trained: whether it is a trial's policy.
        deterministic: whether a policy takes its most likely actions.
    """

    name: str
    actor: str
    file: Path
    trained: bool = False
    deterministic: bool = True

    @property
    def says(self) -> str:
        """Names it in what is said."""
        return self.name if self.deterministic else f"{self.name} with drawn actions"


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive episodes of one category of one evaluation."""

    work: Work
    category: str
    start: int
    stop: int

    @property
    def episodes(self) -> int:
        """How many they are."""
        return self.stop - self.start


PlayedPart = tuple[ActorInfo, Played]


def work_of(folder: RunFolder, experiment: Experiment) -> Iterator[Work]:
    """Everyone who is evaluated: trained policies, pretrained ones, demonstrators; not what failed."""
    for spec in trials_of(experiment):
        yield from _of_policy(spec.name, spec.folder(folder), experiment, trained=True)
    if experiment.pretrains:
        for name in experiment.architectures:
            for seed in experiment.seeds:
                home = pretrain_folder(folder, name, seed)
                yield from _of_policy(f"{name}-pretrain-seed_{seed}", home, experiment)
    actors = {name: name for name in demonstrators_for(experiment.env.id)}
    for name, given in experiment.collect.demonstrators.items():
        if isinstance(given, PolicyDemonstrator):
            actors[name] = str(given.policy)
    for name, actor in actors.items():
        yield Work(name, actor, folder.path / "evaluate" / "demonstrators" / f"{name}.json")


def _of_policy(name: str, home: Path, experiment: Experiment, *, trained: bool = False) -> Iterator[Work]:
    if read_failure(home) is not None:
        return
    policy = str(home / "policy")
    yield Work(name, policy, home / RESULTS_FILE, trained=trained)
    if experiment.evaluate.stochastic:
        yield Work(name, policy, home / STOCHASTIC_FILE, deterministic=False)


def categories_in(experiment: Experiment) -> dict[str, Category]:
    """The categories of an experiment's evaluation.

    Raises:
        ConfigError: the suite is unknown or for another environment, or a name stands twice.
        DataError: the suite's file is damaged.
    """
    options = experiment.evaluate
    return categories_of(experiment.env, options.suite, options.categories, levels=options.levels)


def parts_of(work: Work, experiment: Experiment, categories: Mapping[str, Category]) -> Iterator[Part]:
    """An evaluation in tasks of bounded length."""
    for name, category in categories.items():
        episodes = len(category.levels) or experiment.evaluate.episodes
        for start in range(0, episodes, PART_EPISODES):
            yield Part(work, name, start, min(start + PART_EPISODES, episodes))


def play_part(part: Part, experiment: Experiment) -> PlayedPart:
    """Plays the episodes of a part.

    Raises:
        PolicyError: the policy does not fit the environment.
        EnvError: the environment cannot be built.
        IntegrityError: the policy's folder is damaged.
    """
    work = part.work
    actor = actor_of(work.actor, experiment.env.id, deterministic=work.deterministic)
    spec, asked = _asked(actor.info, experiment, categories_in(experiment)[part.category])
    return actor.info, play_episodes(actor, spec, asked, start=part.start, stop=part.stop)


def assemble(
    experiment: Experiment,
    categories: Mapping[str, Category],
    actor: ActorInfo,
    played: Mapping[str, Sequence[Played]],
) -> EvaluationResult:
    """The result of all parts of an evaluation.

    Args:
        experiment: the run's experiment.
        categories: in their order.
        actor: who played.
        played: by category, its parts in the order of their episodes.

    Raises:
        EnvError: most of the episodes of a category raised.
    """
    return result_in_categories(
        {name: _asked(actor, experiment, category)[1] for name, category in categories.items()},
        {name: Played.join(played[name]) for name in categories},
    )


def is_of(found: EvaluationResult, work: Work, experiment: Experiment) -> bool:
    """Whether a result is of the same actor, with the same weights, in the episodes that are asked for."""
    actor = actor_of(work.actor, experiment.env.id, deterministic=work.deterministic).info
    wanted = joined(
        {name: _asked(actor, experiment, category)[1] for name, category in categories_in(experiment).items()}
    )
    bare = found.model_copy(update={"metrics": {}, "errors": ()})
    return bool(bare.model_dump(mode="json") == wanted.model_dump(mode="json"))


def _asked(actor: ActorInfo, experiment: Experiment, category: Category) -> tuple[EnvSpec, EvaluationResult]:
    return asked_in(category, actor, experiment.env, experiment.evaluate)
