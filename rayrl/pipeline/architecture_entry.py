"""An architecture as an experiment file names it: a registered one, as it is or with other options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
from pydantic import Field

from rayrl.config import Config
from rayrl.config.reference import yaml_text
from rayrl.errors import ConfigError

if TYPE_CHECKING:
    from rayrl.pipeline.experiment import Experiment

Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$", description="letters, digits, `.`, `_`, `-`")
]
"""Fit for a folder and a job id."""

FOR_ALL = "train.options.model_config"
"""Where an experiment file has options for the networks of all architectures."""

_TAKEN = (
    *("aside", "collect", "evaluate", "inputs", "logs", "report", "stages", "tune"),
    *("all_results.json", "config.json", "environment.json", "run.json", "stop.json"),
    "training_progress.json",
)
"""Folders and files of a run that are not an architecture's."""


class ArchitectureEntry(Config):
    """A registered architecture: its name alone, or a mapping of `name`, `base` and options of
    [`train.options.model_config`](#trainoptionsmodel_config); of a section, only what is given is replaced.
    """

    model_config = pydantic.ConfigDict(extra="allow")

    name: Name
    """Names the results; where there is no `base`, a registered architecture."""
    base: Name | None = None
    """The registered architecture whose options are replaced; null for `name`."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _a_name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @pydantic.field_validator("name")
    @classmethod
    def _has_a_folder(cls, name: str) -> str:
        if name in _TAKEN:
            raise ValueError("a run has a folder or a file of that name; choose another")
        return name

    @pydantic.model_serializer(mode="wrap")
    def _as_given(self, handler: pydantic.SerializerFunctionWrapHandler) -> Any:
        if self.base is None and not self.options:
            return self.name
        return {key: value for key, value in handler(self).items() if key != "base" or value is not None}

    @property
    def options(self) -> dict[str, Any]:
        """The options that are replaced."""
        return dict(self.model_extra or {})

    def model_config_with(self, given: Any) -> dict[str, Any]:
        """The options of its network, as plain values.

        Args:
            given: options of the experiment for all architectures; those of the entry itself come before.

        Raises:
            ConfigError: there is no such architecture, the name is another's, or an option is unknown or
                wrong.
        """
        from rayrl.models.architectures import model_config, names

        if self.base not in (None, self.name) and self.name in names():
            raise ConfigError(
                f"{self.name!r} is registered, and base = {self.base!r} is another architecture",
                where="architectures",
                remedy="give it a name of its own",
            )
        try:
            return model_config(self.base or self.name, given, self.options)
        except ConfigError as error:
            if error.where != "model_config":
                raise
            lines = error.message.splitlines()
            # A field of both may be wrong in either, and is left as it is.
            for_all = {*given} - {*self.options} if isinstance(given, Mapping) else set()
            keys = [key for line in lines if (key := _field(line)) in for_all]
            raise ConfigError(
                "\n".join(f"{FOR_ALL}.{line}" if _field(line) in keys else line for line in lines),
                where=f"architectures: {self.name}",
                remedy="\n  ".join(
                    filter(None, [error.remedy, *(_elsewhere(key, given[key]) for key in keys)])
                ),
            ) from None


def _field(line: str) -> str:
    """The option that a line of an error begins with."""
    return re.split(r"\W", line, maxsplit=1)[0]


def _elsewhere(key: str, value: Any) -> str | None:
    """Where an option has an effect that an architecture cannot take; None where no architecture can."""
    from rayrl.models.architectures import model_config, names

    takers = []
    for name in names():
        with suppress(ConfigError):
            model_config(name, {key: value})
            takers.append(name)
    if not takers:
        return None
    return (
        f"{FOR_ALL} is of all architectures: give {key} in the entries of those that it has an effect on, as "
        f"{{name: {takers[-1]}, {key}: {yaml_text(value)}}}; of the registered ones: {', '.join(takers)}"
    )


Entry = Annotated[
    ArchitectureEntry,
    pydantic.WithJsonSchema({"type": "string", "description": "names, or mappings `{name, base, …options}`"}),
]


def entry_of(config: Mapping[str, Any], name: str) -> str | dict[str, Any]:
    """What an experiment, as plain JSON values, says of an architecture: its name, or the mapping."""
    entries = [entry for entry in config.get("architectures", ()) if isinstance(entry, dict)]
    return next((entry for entry in entries if entry["name"] == name), name)


def options_of(experiment: Experiment, name: str) -> dict[str, Any]:
    """The ``model_config`` of an architecture of an experiment, as plain values.

    Raises:
        ConfigError: as ``ArchitectureEntry.model_config_with``.
    """
    return experiment.entry(name).model_config_with(experiment.train.options.get("model_config"))
