"""The base of every options model: frozen, strict about keys, helpful about mistakes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Self

import pydantic

from rayrl.errors import ConfigError


class Config(pydantic.BaseModel):
    """A frozen set of options; an unknown key is an error that offers the nearest name."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str) -> Self:
        """Builds the model from plain values.

        Args:
            values: keys and plain values, as YAML or JSON give them.
            where: what to name in an error, a file or a section.

        Raises:
            ConfigError: naming each field that is wrong, its value and what would be right.
        """
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise ConfigError(describe(error, cls), where=where) from None


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the known name closest to ``name``, or lists what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def describe(error: pydantic.ValidationError, model: type[pydantic.BaseModel]) -> str:
    """One line for each thing that pydantic found wrong."""
    lines = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in item["loc"]) or model.__name__
        if item["type"] == "extra_forbidden":
            owner = _model_at(model, item["loc"][:-1])
            hint = nearest(str(item["loc"][-1]), owner.model_fields) if owner else "it is not known"
            lines.append(f"{path}: unknown key; {hint}")
        elif item["type"] == "missing":
            lines.append(f"{path}: required, and not given")
        else:
            lines.append(f"{path} = {item['input']!r}: {item['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)


def _model_at(
    model: type[pydantic.BaseModel], path: tuple[int | str, ...]
) -> type[pydantic.BaseModel] | None:
    """The options model that stands at ``path`` below ``model``, where there is exactly one."""
    current: type[pydantic.BaseModel] | None = model
    for part in path:
        if current is None or part not in current.model_fields:
            return None
        current = _only_model(current.model_fields[str(part)].annotation)
    return current


def _only_model(annotation: Any) -> type[pydantic.BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    found = {m for m in map(_only_model, getattr(annotation, "__args__", ())) if m is not None}
    return found.pop() if len(found) == 1 else None
