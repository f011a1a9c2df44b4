"""``rayrl data``: datasets and saved replay buffers, as they are on disk."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rayrl.cli import completion
from rayrl.cli.options import AsJson, Debug

app = typer.Typer(
    help="Looks at, checks and exports datasets and saved replay buffers.", no_args_is_help=True
)

StoredPath = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", help="Dataset or saved replay buffer.", autocompletion=completion.stored_experience
    ),
]


@app.command()
def info(path: StoredPath, as_json: AsJson = False, debug: Debug = False) -> None:
    """Shows what is stored: spaces, environment, columns, files, steps by split, domain, task and source."""
    from rayrl.cli.data_tables import print_info
    from rayrl.cli.progress import progress
    from rayrl.experience.stored.info import describe
    from rayrl.experience.stored.opening import open_stored

    with progress("reading", "steps") as report:
        found = describe(open_stored(path), report)
    typer.echo(json.dumps(found, indent=2)) if as_json else print_info(found)


@app.command()
def stats(path: StoredPath, as_json: AsJson = False, debug: Debug = False) -> None:
    """Shows lengths, returns, ends, actions, rewards and policy versions, in one pass over the files."""
    from rayrl.cli.data_tables import print_statistics
    from rayrl.cli.progress import progress
    from rayrl.experience.stored.opening import open_stored
    from rayrl.experience.stored.statistics import statistics

    with progress("reading", "steps") as report:
        found = statistics(open_stored(path), report)
    typer.echo(json.dumps(found, indent=2)) if as_json else print_statistics(found)


@app.command()
def verify(
    path: StoredPath,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample",
            help="Also draws with every sampler from every split, and compares each value with the files.",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Checks every byte, and says which trajectories damage hits; exit code 1 if there is any."""
    from rayrl.cli.data_tables import print_sample_checks
    from rayrl.cli.progress import progress
    from rayrl.experience.stored.opening import open_stored
    from rayrl.experience.stored.sampling import check_samples
    from rayrl.experience.stored.verification import verify as find_problems

    stored = open_stored(path)
    with progress("checking", "bytes") as report:
        problems = find_problems(stored, report)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    files = sum(len(part.manifest.files) for part in stored.parts)
    typer.echo(f"{path}: {files} files, {stored.num_steps:,} steps, as recorded")
    if not sample:
        return
    with progress("reading", "steps") as report:
        fine = print_sample_checks(check_samples(stored, report))
    if not fine:
        raise typer.Exit(1)


class Format(StrEnum):
    """What ``rayrl data export`` writes."""

    parquet = "parquet"


@app.command()
def export(
    path: StoredPath,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE|DIR", help="File to write, if its name ends in .parquet, else a folder of files."
        ),
    ],
    format: Annotated[Format, typer.Option(help="Format to write.")] = Format.parquet,
    force: Annotated[bool, typer.Option("--force", help="Replaces an earlier export.")] = False,
    debug: Debug = False,
) -> None:
    """Writes a table with one row for each step, in columns of plain types, for other tools to read."""
    from rayrl.cli.progress import progress
    from rayrl.experience.stored.opening import open_stored
    from rayrl.experience.stored.parquet import export_parquet

    stored = open_stored(path)
    with progress("exporting", "steps") as report:
        written = export_parquet(stored, out, force=force, progress=report)
    typer.echo(f"{written}: {stored.num_steps:,} rows")
