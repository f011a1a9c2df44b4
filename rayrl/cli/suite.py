"""``rayrl suite``: files of levels that policies are compared on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rayrl.cli.options import AsJson, Debug

if TYPE_CHECKING:
    from rayrl.envs.mine_maze.suite import Suite

app = typer.Typer(help="Makes, checks and shows suites of levels.", no_args_is_help=True)

SuitePath = Annotated[Path, typer.Argument(metavar="FILE", help="Suite file (JSON).")]


class SplitChoice(StrEnum):
    """Which levels a suite is made of."""

    train = "train"
    test = "test"
    any = "any"


@app.command()
def generate(
    file: SuitePath,
    categories: Annotated[
        list[str],
        typer.Option(
            "--category", metavar="NAME=LEVELS", help="Category, and how many levels of it; repeatable."
        ),
    ],
    split: Annotated[SplitChoice, typer.Option(help="Which levels; no level is in both.")] = SplitChoice.test,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Another one gives other levels.")] = 0,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the suite; the file's without one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replaces the file.")] = False,
    debug: Debug = False,
) -> None:
    """Generates levels of the mine maze: the same file for the same options, everywhere."""
    from rayrl.envs.mine_maze.suite import generate_suite
    from rayrl.errors import StorageError
    from rayrl.storage.atomic import write_text

    counts = _counts(categories)
    if file.exists() and not force:
        raise StorageError(
            "is there already", where=str(file), remedy="choose another name, or replace it with --force"
        )
    suite = generate_suite(name or file.stem, counts, split=split.value, seed=seed)
    write_text(file, json.dumps(suite.to_json(), indent=1) + "\n", "the suite")
    typer.echo(f"{file}: " + ", ".join(f"{len(each)} {name}" for name, each in suite.categories.items()))


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Suite files (JSON).")],
    debug: Debug = False,
) -> None:
    """Checks hashes, planner's ways, splits and seeds, and that no level stands twice; else exit code 1.

    What could not be checked is said, and is no error.
    """
    from rayrl.envs.mine_maze.suite import verify_suites

    found = verify_suites(files)
    for path, (problems, unchecked) in found.items():
        for line in (*problems, *(f"not checked: {part}" for part in unchecked)):
            typer.echo(f"{path}: {line}")
    if any(verified.problems for verified in found.values()):
        raise typer.Exit(1)
    for path in found:
        typer.echo(f"{path}: as recorded")


@app.command()
def show(
    file: SuitePath,
    level: Annotated[str | None, typer.Argument(metavar="LEVEL", help="Id of a level to draw.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Shows what a suite holds by category, or draws one of its levels."""
    from rayrl.envs.mine_maze.suite import read_suite

    suite = read_suite(file)
    if level is not None:
        _draw(suite, level, file, as_json)
    elif as_json:
        typer.echo(json.dumps(_facts(suite), indent=2))
    else:
        _print(suite, file)


def _counts(categories: Sequence[str]) -> dict[str, int]:
    """``simple=50`` by name.

    Raises:
        ConfigError: an option is not of that form, asks for fewer levels than 1, or names a category twice.
    """
    from rayrl.errors import ConfigError

    counts: dict[str, int] = {}
    for given in categories:
        name, _, number = given.partition("=")
        if not number.removeprefix("-").isdecimal():
            raise ConfigError(f"{given!r}", where="--category", remedy="write NAME=LEVELS, as simple=50")
        if int(number) < 1:
            raise ConfigError(
                f"{given!r}", where="--category", remedy="LEVELS is at least 1, as in simple=50"
            )
        if name in counts:
            raise ConfigError(f"names {name} twice", where="--category")
        counts[name] = int(number)
    return counts


def _facts(suite: Suite) -> dict[str, object]:
    """Numbers of levels, and least, mean and greatest steps and difficulties, by category."""
    categories = {}
    for name, entries in suite.categories.items():
        steps = [entry.level.optimal_steps for entry in entries]
        difficulty = [entry.level.difficulty for entry in entries]
        categories[name] = {
            "levels": len(entries),
            "steps": {"min": min(steps), "mean": sum(steps) / len(steps), "max": max(steps)},
            "difficulty": {
                "min": min(difficulty),
                "mean": sum(difficulty) / len(difficulty),
                "max": max(difficulty),
            },
            "doors": sum(entry.level.maze.doors for entry in entries) / len(entries),
            "mines": sum(entry.level.mines for entry in entries) / len(entries),
            "patrols": sum(entry.level.patrols for entry in entries) / len(entries),
        }
    return {
        "name": suite.name,
        "env": suite.env,
        "generator": suite.generator,
        "split": suite.split,
        "categories": categories,
    }


def _print(suite: Suite, file: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from rayrl.cli.tables import print_whole

    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{suite.name}: {suite.env}, {suite.split} levels, generator {suite.generator}", markup=False
    )
    table = Table(box=None)
    table.add_column("category")
    for name in ("levels", "steps", "", "", "difficulty", "", "", "doors", "mines", "patrols"):
        table.add_column(name, justify="right")
    table.add_row("", "", "min", "mean", "max", "min", "mean", "max", "mean", "mean", "mean")
    categories = _facts(suite)["categories"]
    assert isinstance(categories, dict)
    for name, facts in categories.items():
        ranges = [
            f"{facts[of][end]:g}" if end != "mean" else f"{facts[of][end]:.1f}"
            for of in ("steps", "difficulty")
            for end in ("min", "mean", "max")
        ]
        means = [f"{facts[of]:.1f}" for of in ("doors", "mines", "patrols")]
        table.add_row(name, str(facts["levels"]), *ranges, *means)
    print_whole(console, table)
    console.print(f"`rayrl suite show {file} LEVEL` draws one of them", markup=False)


def _draw(suite: Suite, wanted: str, file: Path, as_json: bool) -> None:
    from rayrl.config.base import nearest
    from rayrl.errors import DataError

    levels = {entry.id: entry.level for entry in suite.levels}
    if wanted not in levels:
        raise DataError(f"has no level {wanted!r}", where=str(file), remedy=nearest(wanted, levels))
    level = levels[wanted]
    if as_json:
        entries = suite.to_json()["categories"][level.category]
        typer.echo(json.dumps(next(entry for entry in entries if entry["id"] == wanted), indent=2))
        return
    typer.echo(
        f"{wanted}: {level.category}, seed {level.seed}, difficulty {level.difficulty:g}, "
        f"{level.optimal_steps} steps by the planner\nsha256 {level.sha256} ({level.split})"
    )
    for line in level.content:
        typer.echo(f"  {line if ',' in line else ' '.join(line)}")
    typer.echo(
        "  . floor  # wall  S start  E exit  * mine  a-c switches of the doors A-C  row,column moves: patrol"
    )
