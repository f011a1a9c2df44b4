"""What ``rayrl data`` prints."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rayrl.experience.stored.sampling import SampleCheck
from rayrl.storage.spaces import Spaces, space_text

_MOST_ROWS = 12
_PIPED_WIDTH = 200
_DISTRIBUTION = ("mean", "std", "min", "q25", "median", "q75", "max")
_MOMENTS = ("mean", "std", "min", "max")


def print_info(found: dict[str, Any]) -> None:
    """Prints what ``describe`` gave."""
    console = _console()
    spaces = Spaces.from_json(found["spaces"])
    head = {
        found["kind"].replace("_", " "): found["path"],
        "format": f"{found['format_version']}, written {found['written']}",
        "environment": found["env"]["id"]
        + (f" {json.dumps(found['env']['config'])}" if found["env"]["config"] else ""),
        "observation": space_text(spaces.observation),
        "action": space_text(spaces.action),
        "holds": f"{found['trajectories']:,} trajectories, {found['steps']:,} steps",
        "on disk": f"{len(found['files'])} files, {found['bytes']:,} bytes",
        "versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in head.items():
        grid.add_row(name, Text(value))
    console.print(grid)
    for grouping, members in found["counts"].items():
        table = _table(grouping, "trajectories", "steps")
        for name, counts in _largest(members):
            table.add_row(Text(name or "-"), f"{counts['trajectories']:,}", f"{counts['steps']:,}")
        _print(console, table, len(members))
    for title, key in (("step column", "columns"), ("trajectory column", "trajectory_columns")):
        table = Table(title, "kind", "dtype", "shape", box=None, pad_edge=False)
        for name, spec in found[key].items():
            table.add_row(Text(name), spec["kind"], spec["dtype"], Text(str(tuple(spec["shape"]))))
        _print(console, table)
    table = _table("file", "trajectories", "steps", "bytes")
    for file in found["files"][:_MOST_ROWS]:
        name = f"{file['partition']}/{file['name']}" if file["partition"] else file["name"]
        table.add_row(Text(name), *(f"{file[key]:,}" for key in ("trajectories", "steps", "bytes")))
    _print(console, table, len(found["files"]))
    if found["extra"]:
        console.print()
        console.print(Text("extra: " + json.dumps(found["extra"])))


def print_statistics(found: dict[str, Any]) -> None:
    """Prints what ``statistics`` gave."""
    console = _console()
    table = _table("", "count", *_DISTRIBUTION)
    for name in ("lengths", "returns", "rewards"):
        values = found[name]
        table.add_row(name, f"{values['count']:,}", *(_number(values[key]) for key in _DISTRIBUTION))
    console.print(table)
    for name in ("lengths", "returns", "rewards"):
        if found[name]["missing"]:
            console.print(f"{name}: {found[name]['missing']:,} are unknown (NaN)")
        if found[name]["quartiles_sampled"]:
            console.print(f"{name}: quartiles are of a uniform sample")
    ends = found["ends"]
    console.print(f"\nends: {', '.join(f'{count:,} {end}' for end, count in ends.items())}")
    versions = found["policy_versions"]
    if versions["oldest"] is not None or versions["newest"] is not None:
        console.print(f"policy versions: {versions['oldest']} to {versions['newest']}")
    _print_actions(console, found["actions"])
    if "buffer" not in found:
        return
    table = Table("buffer", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for name, value in found["buffer"].items():
        table.add_row(name, _number(value))
    _print(console, table)
    for name, values in found["partitions"].items():
        table = Table(f"partition {name}", "", box=None, pad_edge=False)
        table.columns[1].justify = "right"
        for key, value in values.items():
            table.add_row(key, "no bound" if value is None else str(value))
        _print(console, table)


def print_sample_checks(checks: Iterable[SampleCheck]) -> bool:
    """Prints what came of drawing, a line for each sampler and split; gives whether all was as stored."""
    fine = True
    for (sampler, split), group in itertools.groupby(checks, lambda check: (check.sampler, check.split)):
        said: dict[str, list[str]] = {}
        for check in group:
            fine = fine and not check.faults
            if check.skipped:
                said.setdefault(f"skipped ({check.skipped})", []).append(check.target)
            elif check.faults:
                said.setdefault(f"WRONG: {'; '.join(check.faults)}", []).append(check.target)
            else:
                said.setdefault("as stored", []).append(f"{check.drawn} {check.target}")
        lines = [f"{', '.join(targets)} {outcome}" for outcome, targets in said.items()]
        _console().print(f"{sampler}, {split}: {'; '.join(lines)}", markup=False)
    return fine


def _print_actions(console: Console, actions: dict[str, Any]) -> None:
    if "counts" in actions:
        total = sum(actions["counts"].values())
        table = _table("action", "steps", "share")
        largest = sorted(actions["counts"].items(), key=lambda item: -item[1])[:_MOST_ROWS]
        for action, count in sorted(largest, key=lambda item: int(item[0])):
            table.add_row(action, f"{count:,}", f"{count / total:.1%}")
        _print(console, table, len(actions["counts"]))
        return
    table = _table("action", *_MOMENTS)
    columns = [_flat(actions[name]) for name in _MOMENTS]
    for i, row in enumerate(list(zip(*columns, strict=True))[:_MOST_ROWS]):
        table.add_row(str(i), *map(_number, row))
    _print(console, table, len(columns[0]))


def _largest(members: dict[str, dict[str, int]]) -> list[tuple[str, dict[str, int]]]:
    return sorted(members.items(), key=lambda member: -member[1]["steps"])[:_MOST_ROWS]


def _print(console: Console, table: Table, rows: int = 0) -> None:
    console.print()
    console.print(table)
    if rows > _MOST_ROWS:
        console.print(f"and {rows - _MOST_ROWS:,} more; --json has them all")


def _table(title: str, *numbers: str) -> Table:
    table = Table(title, *numbers, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _flat(values: Any) -> list[float | None]:
    if isinstance(values, list):
        return [one for value in values for one in _flat(value)]
    return [values]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console
