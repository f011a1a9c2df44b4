"""``rayrl run`` and ``rayrl compare``, which is the same with a table of what was compared at its end."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rayrl.cli.options import Debug, File, Overrides

COMPARE = "compare"
COMPARE_HELP = (
    "Runs an experiment as `rayrl run` does, and ends with a table of its architectures and conditions, a "
    "recommendation, and the report's path; needs at least 3 seeds."
)


class Resume(StrEnum):
    """Whether ``rayrl run`` goes on with an unfinished run."""

    auto = "auto"
    must = "must"
    never = "never"
    ask = "ask"


def run(
    context: typer.Context,
    file: File,
    run_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run folder; resumes the run that it holds.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Starts another run, even if one is unfinished.")
    ] = False,
    overrides: Overrides = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Cluster to send the jobs to, by its dashboard. Without it, RAY_API_SERVER_ADDRESS or "
            "RAY_ADDRESS name one; without these, a private Ray is started.",
        ),
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The cluster launcher's YAML file of that cluster.")
    ] = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="Runs all stages in this process, for debugging: stops at the first failure."
        ),
    ] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Cuts the experiment down to seconds.")] = False,
    external_pretrain: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Policy to start from: short for --set pretrain.from=PATH."),
    ] = None,
    force_warmstart: Annotated[
        bool,
        typer.Option(
            "--force-warmstart",
            help="Pretrains and trains again from the warm start; keeps what was there aside.",
        ),
    ] = False,
    resume: Annotated[
        Resume | None,
        typer.Option(help="Whether to go on with an unfinished run: short for --set resume=…."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Runs an experiment to its report, skipping what is done; the report's path is printed last."""
    from rayrl.pipeline.controller import require_all, run_experiment
    from rayrl.pipeline.progress import RunView
    from rayrl.pipeline.resume import RunOptions

    comparing = context.info_name == COMPARE
    if local and address:
        raise typer.BadParameter("--local runs in this process, and takes no --address")
    if new and run_dir:
        raise typer.BadParameter("--new makes a folder of its own, and takes no --run-dir")
    overrides = list(overrides or ())
    if external_pretrain is not None:
        overrides.append(f"pretrain.from={json.dumps(str(external_pretrain))}")
    if resume is not None:
        overrides.append(f"resume={resume.value}")
    if force_warmstart:
        overrides.append("pretrain.force_warmstart=true")
    options = RunOptions(
        run_dir=run_dir,
        new=new,
        overrides=overrides,
        address=None if local else address or cluster_of_environment(),
        cluster_file=cluster,
        local=local,
        smoke=smoke,
    )
    with RunView() as view:
        if comparing and (warning := _seeds_warning(file, overrides)):
            view.say(f"warning: {warning}")
        folder = run_experiment(file, options, view)
    if comparing:
        from rayrl.cli.comparison import print_comparison

        print_comparison(folder.path)
    require_all(folder)
    typer.echo(folder.report_file if folder.report_file.exists() else folder.path)


def cluster_of_environment() -> str | None:
    """The cluster that the environment names, if any."""
    return os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS")


def _seeds_warning(file: Path, overrides: list[str]) -> str | None:
    """What to say of few training seeds, before anything starts.

    Raises:
        ConfigError: there are too few of them for a comparison.
    """
    from rayrl.comparison.seeds import check_seeds
    from rayrl.pipeline.experiment import load_experiment

    return check_seeds(load_experiment(file, overrides).seeds, where=str(file))
