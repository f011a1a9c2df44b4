"""``rayrl policy``: what a policy is, and whether an experiment could start from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rayrl.cli.options import AsJson, Debug

app = typer.Typer(help="Shows and checks policy folders and files of PyTorch tensors.", no_args_is_help=True)

PolicyPath = Annotated[
    Path, typer.Argument(metavar="PATH", help="Policy folder, or a file of PyTorch tensors by name.")
]


@app.command()
def show(
    path: PolicyPath,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Shows what a policy is: architecture, spaces, normalizer, tensors, and where it comes from."""
    from rayrl.cli.tables import print_facts
    from rayrl.models.policy_facts import policy_facts

    facts = policy_facts(path)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        print_facts(facts)


@app.command()
def check(
    path: PolicyPath,
    file: Annotated[
        Path,
        typer.Option("--for", metavar="FILE", help="Experiment file, or a run's config.json."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replaces an option; repeatable."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Looks whether an experiment could start from a policy; exit code 1 if it does not fit."""
    from rayrl.cli.tables import print_finding
    from rayrl.doctor.policy import check_policy

    diagnosis = check_policy(
        path, file, overrides or (), say=(lambda finding: None) if as_json else print_finding
    )
    if as_json:
        typer.echo(json.dumps(diagnosis.model_dump(), indent=2))
    if not diagnosis.healthy:
        raise typer.Exit(1)


@app.command()
def latency(
    path: Annotated[Path, typer.Argument(metavar="POLICY_DIR", help="Policy folder.")],
    file: Annotated[
        Path,
        typer.Option(
            "--for", metavar="FILE", help="Experiment file, or a run's config.json: its env is observed."
        ),
    ],
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, or cuda.")] = "cpu",
    batches: Annotated[
        list[int] | None,
        typer.Option(
            "--batch",
            metavar="N",
            min=1,
            max=65_536,
            help="Observations at once, 65,536 at most; repeatable; 1 and 64.",
        ),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measures how long a policy takes to decide, with one torch thread; needs no Ray."""
    from rayrl.evaluation.latency import BATCHES, measure_latency
    from rayrl.pipeline.experiment import load_experiment

    found = measure_latency(path, load_experiment(file).env, device=device, batches=batches or BATCHES)
    if as_json:
        typer.echo(json.dumps(found.model_dump(), indent=2))
        return
    typer.echo(f"{found.architecture} on {found.processor}, {found.threads} thread")
    for each in found.batches:
        typer.echo(
            f"batch {each.batch:>4}: p50 {each.p50_ms:.3g} ms, p99 {each.p99_ms:.3g} ms "
            f"({each.samples:,} calls)"
        )
