"""The experiment file: one mapping, composed of the sections that each stage reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from rayrl.algorithms.options import TrainOptions
from rayrl.algorithms.pretrain_options import PretrainOptions
from rayrl.comparison.options import CompareOptions
from rayrl.config import Config, read_document
from rayrl.envs import default_mix
from rayrl.envs.spec import EnvSpec
from rayrl.evaluation.options import EvaluateOptions
from rayrl.pipeline.architecture_entry import ArchitectureEntry, Entry, Name
from rayrl.report.options import ReportOptions
from rayrl.rollout.options import CollectOptions

Seed = Annotated[int, Field(ge=0, lt=1 << 32)]
"""What RLlib and numpy take."""
Condition = Literal["no_pretrain", "with_pretrain", "with_pretrain_no_kl"]


def starts_from_policy(condition: str) -> bool:
    """Whether trials under a condition start from the pretrained policy."""
    return condition != "no_pretrain"


Resume = Literal["auto", "must", "never", "ask"]

_SMOKE = {
    "collect.steps": 1024,
    "collect.first_replays": 32,
    "pretrain.epochs": 2,
    "train.total_steps": 1024,
    "evaluate.episodes": 2,
    "evaluate.levels": 2,
}
"""What a smoke run does at most."""
_SMOKE_OF = {"collect.first_replays": "replays", "evaluate.levels": "suite"}
"""Of these, only where that option names a file."""


class Experiment(Config):
    """What to run: architectures × conditions × seeds on one environment."""

    name: Name
    """Starts the run folder's name and the ids of its Ray Jobs."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2)
    """One trial each, for every architecture and condition."""
    env: EnvSpec
    entries: Annotated[tuple[Entry, ...], Field(min_length=1, alias="architectures")] = (
        ArchitectureEntry(name="mlp_baseline"),
    )
    """Named network configurations; ``rayrl list architectures`` shows those that are known. A mapping
    replaces options of one, under a name of its own: `{name: small, base: gcn, graph: {hidden_dim: 48}}`."""
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)] = ("no_pretrain", "with_pretrain")
    """Whether trials start from scratch, or from the pretrained policy of their architecture and seed;
    `with_pretrain_no_kl` starts from it and does without `train.options.kl_ref`, to show what that does."""
    collect: CollectOptions = CollectOptions()
    pretrain: PretrainOptions = PretrainOptions()
    train: TrainOptions = TrainOptions()
    evaluate: EvaluateOptions = EvaluateOptions()
    report: ReportOptions = ReportOptions()
    compare: CompareOptions = CompareOptions()
    resume: Resume = "auto"
    """Whether `rayrl run` goes on with a run that is not finished: `auto` does, `must` fails where there is
    none, `never` starts another, and `ask` asks on a terminal (elsewhere it is `auto`). It is of a call, and
    not kept in the run's experiment."""
    artifacts: None = None
    """Where results are uploaded to; only null is supported yet."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """The names of the architectures."""
        return tuple(entry.name for entry in self.entries)

    def entry(self, name: str) -> ArchitectureEntry:
        """What the file says of an architecture; one that it does not name is as it is registered."""
        return next((e for e in self.entries if e.name == name), None) or ArchitectureEntry(name=name)

    @property
    def pretrains(self) -> bool:
        """Whether any trial starts from a pretrained policy."""
        return any(starts_from_policy(condition) for condition in self.conditions)

    @property
    def clones(self) -> bool:
        """Whether any pretrained policy is cloned from demonstrations, and not just taken over."""
        return self.pretrains and not self.pretrain.skip_bc

    @field_validator("seeds", "entries", "conditions")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [each.name if isinstance(each, ArchitectureEntry) else each for each in values]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"must not name anything twice: {twice[0]}")
        return values

    @field_validator("collect")
    @classmethod
    def _the_environments_own_mix(cls, collect: CollectOptions, info: ValidationInfo) -> CollectOptions:
        env, conditions = info.data.get("env"), info.data.get("conditions", ())
        if collect.demonstrates or env is None or not any(map(starts_from_policy, conditions)):
            return collect
        return collect.model_copy(
            update={"demonstrators": {name: float(share) for name, share in default_mix(env.id).items()}}
        )

    @model_validator(mode="after")
    def _something_to_pretrain_on(self) -> Self:
        if self.clones and not self.collect.demonstrates:
            raise ValueError(
                "the condition with_pretrain needs collect.demonstrators or collect.replays; "
                "name some, or set conditions: [no_pretrain]"
            )
        return self

    def input_files(self) -> Iterator[tuple[tuple[str, ...], Path]]:
        """Each file or folder that the options name, with the keys under which it stands."""
        return _paths(self.model_dump(by_alias=True), ())

    def with_inputs(self, copies: dict[tuple[str, ...], Path]) -> Experiment:
        """The experiment with other paths for its input files, by the keys that ``input_files`` gives."""
        values = self.model_dump(by_alias=True)
        for (*keys, last), path in copies.items():
            target = values
            for key in keys:
                target = target[key]
            target[last] = path
        return Experiment.model_validate(values)

    def smoke(self) -> Experiment:
        """The same experiment in seconds: one architecture and seed, few steps."""
        values = self.model_dump(by_alias=True)
        values |= {"seeds": self.seeds[:1], "architectures": values["architectures"][:1]}
        for path, most in _SMOKE.items():
            section, field = path.split(".")
            if path in _SMOKE_OF and not isinstance(values[section][_SMOKE_OF[path]], Path):
                continue
            given = values[section][field]
            values[section][field] = most if given is None else min(given, most)
        return Experiment.model_validate(values)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values that make the same experiment again."""
        return self.model_dump(mode="json", by_alias=True)


def load_experiment(file: Path, overrides: Sequence[str] = (), *, smoke: bool = False) -> Experiment:
    """Reads an experiment file; without ``architectures``, it takes that of the policy to start from.

    Args:
        file: YAML or JSON; relative paths in it start at its folder.
        overrides: ``key.path=value``; relative paths in them start at the working directory.
        smoke: cut the experiment down to seconds.

    Raises:
        ConfigError: naming the file, the line or override, the field, its value and what would be right.
        IntegrityError: the policy to start from is damaged.
    """
    document = read_document(file).override(overrides, base=Path.cwd())
    read = document.parse(Experiment)
    experiment = Experiment.model_validate(read.to_json())
    if "entries" not in read.model_fields_set and experiment.pretrain.from_ is not None:
        from rayrl.pipeline.external_policy import built_like_its_policy

        experiment = built_like_its_policy(experiment)
    return experiment.smoke() if smoke else experiment


def _paths(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Path]]:
    if isinstance(value, Path):
        yield keys, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, (*keys, key))
