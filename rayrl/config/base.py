"""The base of every options model: frozen, strict about keys, helpful about mistakes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Self, get_args, get_origin

import pydantic

from rayrl.errors import ConfigError

Location = tuple[int | str, ...]
"""Where a value stands in nested options: keys and list indices from the outside in."""


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

    @classmethod
    def parse_within(cls, values: Mapping[str, Any]) -> Self:
        """Builds the model inside a validator of an outer one, whose ``parse`` then names the whole path.

        Raises:
            InnerError: something is wrong.
        """
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise InnerError(error, cls) from None


class InnerError(ValueError):
    """What is wrong with a model that stands inside another one."""

    def __init__(self, error: pydantic.ValidationError, model: type[pydantic.BaseModel]) -> None:
        super().__init__(str(error))
        self.error = error
        self.model = model


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the known name closest to ``name``, or lists what is known if that is short."""
    names = sorted(known)
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if len(names) <= 30 else f"none of {len(names)} known names is close"


def describe(
    error: pydantic.ValidationError,
    model: type[pydantic.BaseModel],
    place: Callable[[Location], str] = lambda location: "",
) -> str:
    """One line for each thing that pydantic found wrong.

    Args:
        error: what pydantic raised.
        model: the model that it raised it for.
        place: what to write before a field: where its value was given.
    """
    return "\n".join(f"{place(location)}{text}" for location, text in _problems(error, model, ()))


def _problems(
    error: pydantic.ValidationError, model: type[pydantic.BaseModel], outer: Location
) -> Iterator[tuple[Location, str]]:
    items = error.errors(include_url=False)
    for item in items:
        if item["type"] == "too_short" and any(_is_within(other["loc"], item["loc"]) for other in items):
            # What is wrong with its items left it short of them.
            continue
        location = (*outer, *item["loc"])
        path = ".".join(str(part) for part in location)
        inner = item.get("ctx", {}).get("error")
        if isinstance(inner, InnerError):
            yield from _problems(inner.error, inner.model, location)
        elif item["type"] == "extra_forbidden":
            owner = _model_at(model, item["loc"][:-1])
            hint = nearest(str(item["loc"][-1]), _names(owner)) if owner else "it is not known"
            yield location, f"{path}: unknown key; {hint}"
        elif item["type"] == "missing":
            yield location, f"{path}: required, and not given"
        elif not item["loc"]:
            # The value is the whole model: what is wrong lies between its fields, which the message names.
            text = item["msg"].removeprefix("Value error, ")
            yield location, f"{path}: {text}" if path else text
        else:
            yield location, f"{path} = {item['input']!r}: {item['msg'].removeprefix('Value error, ')}"


def _is_within(inner: Location, outer: Location) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _names(model: type[pydantic.BaseModel]) -> dict[str, pydantic.fields.FieldInfo]:
    """The fields by the names that stand in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_at(annotation: Any, path: Location) -> type[pydantic.BaseModel] | None:
    """The options model that stands at ``path`` below a model or a type, where there is exactly one."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        if not path:
            return annotation
        field = _names(annotation).get(str(path[0]))
        return None if field is None else _model_at(field.annotation, path[1:])
    origin = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Collection):
        if not path:
            return None
        path = path[1:]  # a key or an index
    found = {m for each in get_args(annotation) if (m := _model_at(each, path)) is not None}
    return found.pop() if len(found) == 1 else None
