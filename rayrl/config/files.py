"""Options files: YAML (and so JSON) with overrides, and errors that name the line or the override."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from rayrl.config.base import Config, Location, describe
from rayrl.config.paths import SourceText
from rayrl.errors import ConfigError

_C = TypeVar("_C", bound=Config)


@dataclass(frozen=True, slots=True)
class Document:
    """An options file as it was read, before any model has seen it."""

    path: Path
    values: dict[str, Any]
    """Plain values; every text is a ``SourceText``."""
    places: dict[Location, str]
    """Where each value was given: ``line 12``, or ``--set key=value``."""

    def place(self, location: Location) -> str:
        """Where the value at ``location``, or else the nearest one within or around it, was given."""
        for end in range(len(location), 0, -1):
            for known, place in sorted(self.places.items(), key=lambda item: len(item[0])):
                if known[:end] == location[:end]:
                    return place
        return "line 1"

    def override(self, assignments: Iterable[str], *, base: Path) -> Document:
        """The document with values replaced.

        Args:
            assignments: ``key.path=value``, where the value is YAML and a part of the path that is a number
                is an index of a list. Keys that are not there are added.
            base: folder in which relative paths among the values start.

        Raises:
            ConfigError: an assignment cannot be read, or its path leads through a value that is no mapping
                or beyond a list's end.
        """
        values, places = copy.deepcopy(self.values), dict(self.places)
        for assignment in assignments:
            where = f"--set {assignment}"
            key, equals, text = assignment.partition("=")
            parts = key.strip().split(".")
            if not equals or not all(parts):
                raise ConfigError("this is not key.path=value", where=where)
            location = _assign(values, parts, _load(text, base, where, {}), where)
            stale = [known for known in places if known[: len(location)] == location]
            for known in stale:
                del places[known]
            places[location] = where
        return Document(self.path, values, places)

    def parse(self, model: type[_C]) -> _C:
        """Builds the options model.

        Raises:
            ConfigError: naming the file, and for each field that is wrong its line or override, its value
                and what would be right.
        """
        try:
            return model.model_validate(self.values)
        except pydantic.ValidationError as error:
            text = describe(error, model, lambda location: f"{self.place(location)}: ")
            raise ConfigError(text, where=str(self.path)) from None


def read_document(path: Path) -> Document:
    """Reads a YAML or JSON file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, cannot be read, is no valid YAML, holds a key twice, or a value
            that is no text, finite number, truth value, null, list or mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(path)) from None
    places: dict[Location, str] = {}
    values = _load(text, path.resolve().parent, str(path), places)
    if not isinstance(values, dict):
        raise ConfigError("the file must hold key: value pairs", where=str(path))
    return Document(path, values, places)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, reading truth values, numbers such as 1e-4 and dates as YAML 1.2 does."""


_YAML = "tag:yaml.org,2002:"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (f"{_YAML}timestamp", f"{_YAML}bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    f"{_YAML}bool", re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    f"{_YAML}float", re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _load(text: str, base: Path, where: str, places: dict[Location, str]) -> Any:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return _construct(loader, node, base, (), places, frozenset()) if node else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{line}{error.problem or error.context}", where=where) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"not valid YAML: {error}", where=where) from None


def _construct(
    loader: _Loader,
    node: yaml.Node,
    base: Path,
    location: Location,
    places: dict[Location, str],
    around: frozenset[yaml.Node],
) -> Any:
    """Builds a node's plain value, and notes its line and those of all within it."""
    places[location] = f"line {node.start_mark.line + 1}"
    if node in around:
        raise _error(node, "a value may not contain itself")
    around |= {node}
    if isinstance(node, yaml.MappingNode):
        _refuse_duplicates(node)
        loader.flatten_mapping(node)
        return {
            key.value: _construct(loader, value, base, (*location, key.value), places, around)
            for key, value in node.value
        }
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(loader, item, base, (*location, index), places, around)
            for index, item in enumerate(node.value)
        ]
    value = loader.construct_object(node)
    if isinstance(value, str):
        return SourceText(value, base)
    if value is not None and not isinstance(value, bool | int | float):
        raise _error(node, f"values of type {type(value).__name__} are not supported")
    if isinstance(value, float) and not math.isfinite(value):
        raise _error(node, f"{node.value} is not a finite number")
    return value


def _refuse_duplicates(node: yaml.MappingNode) -> None:
    lines: dict[Hashable, int] = {}
    for key, _ in node.value:
        if key.tag == f"{_YAML}merge":
            continue
        if key.tag != f"{_YAML}str":
            raise _error(key, f"the key {getattr(key, 'value', '')!r} must be text; put it in quotes")
        if key.value in lines:
            raise _error(key, f"the key {key.value!r} stands already in line {lines[key.value]}")
        lines[key.value] = key.start_mark.line + 1


def _error(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _assign(values: dict[str, Any], parts: list[str], value: Any, where: str) -> Location:
    """Puts a value at a path into nested values, and returns the path with list indices as numbers."""
    target: Any = values
    location: list[int | str] = []
    for depth, part in enumerate(parts):
        step: int | str = part
        if isinstance(target, list):
            if not part.isdecimal() or int(part) >= len(target):
                path = ".".join(parts[:depth])
                raise ConfigError(
                    f"{path} is a list of {len(target)}: {part!r} is no index of it", where=where
                )
            step = int(part)
        elif not isinstance(target, dict):
            path = ".".join(parts[:depth])
            raise ConfigError(f"{path} is {target!r}, which has nothing named {part!r}", where=where)
        location.append(step)
        if depth == len(parts) - 1:
            target[step] = value
        elif isinstance(target, dict) and target.get(part) is None:
            target[part] = {}
        target = target[step]
    return tuple(location)
