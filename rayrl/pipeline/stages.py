"""The kinds of stages, and the plan of an experiment.

A kind names a function ``run(context: StageContext) -> StageOutputs | None`` by ``module:name``; the module
is imported where the stage runs. The function

- reads its options from ``context.experiment`` and the outputs of earlier stages from ``context.folder``;
- finds Ray initialized, if its kind says ``uses_ray``;
- calls ``context.progress(done, total, ...)`` often (records are thinned out) and logs with ``context.log``;
- asks ``context.stop_requested()`` between steps, and then writes a checkpoint and returns None;
- is called again after anything: it goes on from its own checkpoints in the run folder;
- returns the files that it wrote, which are hashed into the manifest that marks the unit as done.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayrl.config.base import nearest
from rayrl.errors import StageError
from rayrl.pipeline.architecture_entry import entry_of
from rayrl.pipeline.experiment import Experiment

_JOBS = Path(__file__).resolve().parents[2] / "jobs"


@dataclass(frozen=True, slots=True)
class StageKind:
    """One kind of stage."""

    name: str
    run: str
    """``module:function``, as the module's docstring describes it."""
    reads: tuple[str, ...]
    """Sections of the experiment, or options within (``a.b.c``), that decide its outputs; a change in one of
    them makes it run again."""
    after: tuple[str, ...] = ()
    """Stages whose outputs it consumes, as far as they are part of the plan."""
    needed: Callable[[Experiment], bool] = lambda experiment: True
    """Whether an experiment has this stage."""
    per_architecture: bool = False
    """Whether each architecture is a unit, and so a Ray Job, of its own."""
    uses_ray: bool = True
    """Whether its function needs Ray."""
    check: str | None = None
    """``module:function`` that raises what is wrong with an experiment, before anything is submitted; it may
    return a warning."""
    lost: str | None = None
    """``module:function`` of a unit that is done, the run folder and the experiment: in words, what has gone
    that is not among its outputs, so that it runs again; None where nothing has."""
    in_chunks: bool = False
    """Whether each chunk of training is a unit, and so a Ray Job, of its own."""
    script: Path | None = None
    """Its job's script; ``jobs/<name>.py`` when not given."""

    @property
    def entry_point(self) -> Path | None:
        """The script that its job runs; None where there is none, as in an installation without ``jobs/``."""
        script = self.script or _JOBS / f"{self.name}.py"
        return script if script.is_file() else None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of training."""

    number: int
    """From 1."""
    of: int
    """How many there are."""
    end: int
    """Environment steps of each trial at its end."""

    @property
    def is_last(self) -> bool:
        """Whether training ends with it."""
        return self.number == self.of

    def __str__(self) -> str:
        return f"chunk {self.number} of {self.of}"


@dataclass(frozen=True, slots=True)
class StageUnit:
    """What runs as one Ray Job: a stage, its part for one architecture, or one of its chunks."""

    kind: StageKind
    architecture: str | None = None
    chunk: Chunk | None = None
    """Given where there are several."""

    @property
    def name(self) -> str:
        """``<stage>``, ``<stage>-<architecture>`` or ``<stage>-chunk<n>``; names its log, folder and job."""
        if self.chunk is not None:
            return f"{self.kind.name}-chunk{self.chunk.number}"
        return self.kind.name if self.architecture is None else f"{self.kind.name}-{self.architecture}"

    def options(self, config: dict[str, Any]) -> dict[str, Any]:
        """The options that decide its outputs.

        Args:
            config: the experiment as plain JSON values.
        """
        options = {path: _at(config, path.split(".")) for path in self.kind.reads}
        if self.kind.in_chunks:
            # A chunk is what an uncut training of that length would be: with more steps, or smaller chunks
            # after it, it is done already.
            end = self.chunk.end if self.chunk else config["train"]["total_steps"]
            options["train"] = config["train"] | {"total_steps": end}
            del options["train"]["chunks"]
        if self.architecture is None:
            return options
        entry = entry_of(config, self.architecture)
        return options | {"architectures": [entry]}


def _at(config: Any, keys: Sequence[str]) -> Any:
    """What stands at nested keys; None where nothing does."""
    for key in keys:
        config = (config or {}).get(key)
    return config


def load(target: str) -> Callable[..., Any]:
    """The function that a kind names by ``module:function``."""
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


_kinds: dict[str, StageKind] = {}


def register_stage(kind: StageKind) -> None:
    """Makes a kind of stage known; it takes its place in plans after all that are known already.

    Raises:
        ValueError: its name is taken, or it consumes the outputs of a stage that is not known.
    """
    if kind.name in _kinds:
        raise ValueError(f"a stage {kind.name!r} is registered already")
    if unknown := [name for name in kind.after if name not in _kinds]:
        raise ValueError(f"stage {kind.name!r} comes after {unknown}, which are not registered")
    _kinds[kind.name] = kind


def stage_kind(name: str) -> StageKind:
    """The kind of that name.

    Raises:
        StageError: there is none; the nearest name is offered.
    """
    if name not in _kinds:
        raise StageError(f"there is no stage {name!r}", remedy=nearest(name, _kinds))
    return _kinds[name]


def kind_names() -> list[str]:
    """The kinds of stages, in the order in which they run."""
    return list(_kinds)


def units_of(kind: StageKind, experiment: Experiment) -> list[StageUnit]:
    """The units of one kind in an experiment; none where the experiment does not need it."""
    if not kind.needed(experiment):
        return []
    ends = experiment.train.chunk_ends
    if kind.in_chunks and len(ends) > 1:
        return [StageUnit(kind, chunk=Chunk(n, len(ends), end)) for n, end in enumerate(ends, 1)]
    if not kind.per_architecture:
        return [StageUnit(kind)]
    return [StageUnit(kind, architecture) for architecture in experiment.architectures]


def plan(experiment: Experiment) -> list[StageUnit]:
    """All units of an experiment, in the order in which they run."""
    return [unit for kind in _kinds.values() for unit in units_of(kind, experiment)]


def consumed_by(unit: StageUnit, units: Sequence[StageUnit]) -> list[StageUnit]:
    """The units of a plan whose outputs a unit consumes.

    Of another architecture's it needs none; of chunks the last one, and a chunk the one before it.
    """
    consumed = [
        other
        for other in units
        if other.kind.name in unit.kind.after
        and (unit.architecture is None or other.architecture in (None, unit.architecture))
        and (other.chunk is None or other.chunk.is_last)
    ]
    if unit.chunk is not None and unit.chunk.number > 1:
        consumed += [other for other in units if other.kind == unit.kind and _is_just_before(other, unit)]
    return consumed


def _is_just_before(other: StageUnit, unit: StageUnit) -> bool:
    assert other.chunk is not None
    assert unit.chunk is not None
    return other.chunk.number == unit.chunk.number - 1


_TRIALS = ("env", "seeds", "architectures", "conditions")

for _kind in (
    StageKind(
        "collect",
        run="rayrl.pipeline.collect_stage:run",
        reads=("env", "collect"),
        needed=lambda experiment: experiment.clones,
        check="rayrl.pipeline.preflight:check_demonstrators",
    ),
    StageKind(
        "pretrain",
        run="rayrl.pipeline.pretrain_stage:run",
        reads=("env", "seeds", "pretrain", "train.algorithm", "train.options.model_config"),
        after=("collect",),
        check="rayrl.pipeline.preflight:check_pretraining",
        needed=lambda experiment: experiment.pretrains,
        per_architecture=True,
    ),
    StageKind(
        "train",
        run="rayrl.pipeline.train_stage:run",
        reads=(*_TRIALS, "train", "evaluate.seed", "evaluate.env_config", "evaluate.max_steps"),
        after=("pretrain",),
        in_chunks=True,
        lost="rayrl.pipeline.trial_policies:lost",
        check="rayrl.pipeline.preflight:check_algorithm",
    ),
    StageKind(
        "evaluate",
        run="rayrl.pipeline.evaluate_stage:run",
        reads=(*_TRIALS, "evaluate", "collect.demonstrators"),
        after=("pretrain", "train"),
        check="rayrl.pipeline.preflight:check_evaluation",
    ),
    StageKind(
        "report",
        run="rayrl.pipeline.report_stage:run",
        check="rayrl.pipeline.preflight:check_report",
        reads=("name", *_TRIALS, "report", "compare"),
        after=("collect", "pretrain", "train", "evaluate"),
        uses_ray=False,
    ),
):
    register_stage(_kind)
