"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rayrl.cli import completion

EnvId = Annotated[
    str, typer.Option(metavar="ID", help="Gymnasium id, or module:Class.", autocompletion=completion.envs)
]
Debug = Annotated[bool, typer.Option("--debug", help="Shows the traceback of an error.")]
AsJson = Annotated[bool, typer.Option("--json", help="Prints JSON.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="Experiment file (YAML).")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replaces an option; repeatable.",
        autocompletion=completion.overrides,
    ),
]
