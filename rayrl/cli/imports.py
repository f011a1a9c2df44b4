"""``rayrl import``."""

from __future__ import annotations
import typer

app = typer.Typer(help="Imports.", no_args_is_help=True)


@app.command()
def legacy() -> None:
    """x"""


@app.callback()
def _c() -> None: ...
