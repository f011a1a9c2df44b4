"""What an options model offers: each option with its type, range, default and meaning.

The meaning is the text that stands under the attribute in the model's source, so that there is one place to
write it. The reference of the experiment file and the comments of a new one are made from this.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, get_args

import pydantic

_PLAIN_TEXT = re.compile(r"[A-Za-z][\w./-]*")
_GROUPED = 10_000
"""From here on, digits are grouped."""
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a model."""

    name: str
    """As it stands in a file."""
    values: str
    """Which values it takes, in words; code is in backticks."""
    required: bool
    default: Any
    """A plain value; None where the option is required."""
    meaning: str
    """Empty where the model says nothing of it."""
    section: type[pydantic.BaseModel] | None
    """The model of its own options, where it is a section."""
    section_or_null: type[pydantic.BaseModel] | None
    """The same, where it is a section or null."""

    @property
    def default_text(self) -> str:
        """The default as YAML."""
        return "required" if self.required else yaml_text(self.default)


def options_of(model: type[pydantic.BaseModel]) -> Iterator[Option]:
    """The options of a model, in its order."""
    schema = model.model_json_schema(by_alias=True)
    known, meanings = schema.get("$defs", {}), _attribute_docs(model)
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        may_be = [each for each in get_args(kind) if each is not type(None)]
        written = field.alias or name
        found = schema["properties"][written]
        yield Option(
            name=written,
            values=_values(found, known),
            required=field.is_required(),
            default=found.get("default"),
            meaning=meanings.get(name, ""),
            section=kind if _is_model(kind) else None,
            section_or_null=may_be[0] if len(may_be) == 1 and _is_model(may_be[0]) else None,
        )


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def summary_of(model: type[pydantic.BaseModel]) -> str:
    """The first paragraph of a model's docstring, in one line."""
    return " ".join((inspect.getdoc(model) or "").split("\n\n")[0].split())


def yaml_text(value: Any) -> str:
    """A plain value as YAML in one line."""
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and value not in ("null", "true", "false"):
        return value
    if isinstance(value, int) and abs(value) >= _GROUPED:
        return f"{value:_}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {yaml_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(yaml_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _values(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "$ref" in schema:
        named = known[schema["$ref"].rsplit("/", 1)[-1]]
        return "section" if "properties" in named else _values(named, known)
    if "description" in schema:
        return str(schema["description"])
    if "anyOf" in schema:
        parts = [_values(each, known) for each in schema["anyOf"]]
        return " or ".join(parts)
    if choices := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = schema.get("type")
    if kind == "null":
        return "`null`"
    if kind == "boolean":
        return "`true`, `false`"
    if kind in ("integer", "number"):
        return " ".join([kind, *_bounds(schema, whole=kind == "integer")])
    if kind == "array":
        if "prefixItems" in schema:
            return "list of " + ", ".join(_values(item, known) for item in schema["prefixItems"])
        items = schema.get("items", {})
        return f"list of {_values(items, known) if items else 'anything'}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"mapping to {_values(inner, known)}" if isinstance(inner, Mapping) else "mapping"
    if kind == "string":
        if schema.get("format") == "path":
            return "path"
        return f"text of the form `{schema['pattern']}`" if "pattern" in schema else "text"
    return "anything"


def _bounds(schema: Mapping[str, Any], *, whole: bool) -> list[str]:
    found = {sign: schema[key] for key, sign in _BOUNDS.items() if key in schema}
    if whole and ">" in found:
        found = {"≥": found.pop(">") + 1, **found}
    shown = {sign: yaml_text(bound) if whole else f"{bound:g}" for sign, bound in found.items()}
    text = " and ".join(f"{sign} {bound}" for sign, bound in shown.items())
    return [text] if text else []


def _attribute_docs(model: type[pydantic.BaseModel]) -> dict[str, str]:
    """The text under each attribute, by the attribute's name; that of a subclass wins."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, pydantic.BaseModel) or cls is pydantic.BaseModel:
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(body, ast.ClassDef)
        for attribute, text in pairwise(body.body):
            match attribute, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                    found[name] = " ".join(doc.split())
    return found
