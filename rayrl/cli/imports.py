"""``rayrl import``: what other systems left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rayrl.cli import completion
from rayrl.cli.options import AsJson, Debug

app = typer.Typer(help="Imports what other systems left.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Imports what other systems left."""


class EndsChoice(StrEnum):
    """How the episodes of a pickled replay buffer ended."""

    auto = "auto"
    terminated = "terminated"
    truncated = "truncated"


@app.command()
def legacy(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Pickled replay buffer or demonstrations, a level file, or a folder of level files.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Reads the pickle, in a process that can do little.")
    ] = False,
    env: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Environment that it comes from, whose spaces the columns must fit.",
            autocompletion=completion.envs,
        ),
    ] = None,
    num_envs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Environments that filled a replay buffer in turns.")
    ] = 1,
    ends: Annotated[
        EndsChoice, typer.Option(help="How a replay buffer's episodes ended; auto: by their lengths.")
    ] = EndsChoice.auto,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Makes a dataset of a pickled replay buffer or demonstration set, and JSON of level files."""
    from rayrl.cli.progress import progress
    from rayrl.experience.legacy.importing import LegacyOptions, import_legacy

    options = LegacyOptions(num_envs=num_envs, ends=ends.value)
    if env is not None:
        options = replace(options, **_environment(env))
    with progress("importing", "steps") as told:
        report = import_legacy(path, out, trust=trust, options=options, progress=told)
    if as_json:
        typer.echo(json.dumps({"out": str(out)} | report.to_json(), indent=2))
        return
    typer.echo(f"{out}: " + ", ".join(f"{name} {value}" for name, value in report.read.items()))
    for what, count in report.dropped.items():
        typer.echo(f"  dropped: {count:,} {what}")
    for note in report.notes:
        typer.echo(f"  note: {note}")


@app.command()
def replays(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Replay file of the mine maze, or a folder of them.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make.")],
    file: Annotated[
        Path | None,
        typer.Option("--for", metavar="FILE", help="Experiment file whose observations they are to have."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replaces an option of that file; repeatable."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Makes a dataset of replays: what was seen before each action is simulated again."""
    from rayrl.cli.progress import progress
    from rayrl.rollout.maze_replays import import_replays

    with progress("simulating", "replays") as told:
        dataset = import_replays(path, out, _options_of(file, overrides or ()), progress=told)
    typer.echo(f"{out}: {dataset.num_trajectories} replays, {dataset.num_steps:,} steps")


def _options_of(file: Path | None, overrides: Sequence[str]) -> dict[str, Any] | None:
    """The options of the mine maze in an experiment file.

    Raises:
        ConfigError: the file is wrong, of another environment, or not given though options replace its own.
    """
    from rayrl.envs.mine_maze.suite import ENV_ID
    from rayrl.errors import ConfigError
    from rayrl.pipeline.experiment import load_experiment

    if file is None:
        if overrides:
            raise ConfigError("replaces an option of --for FILE, which is not given", where="--set")
        return None
    env = load_experiment(file, overrides).env
    if env.id != ENV_ID:
        raise ConfigError(f"env.id = {env.id!r}; replays are of {ENV_ID}", where=str(file))
    return env.config


def _environment(env_id: str) -> dict[str, Any]:
    """The options that an environment decides."""
    from rayrl.envs.spec import EnvSpec
    from rayrl.experience.dataset import EnvInfo
    from rayrl.rollout.vector_env import make_vector_env
    from rayrl.storage.spaces import Spaces

    spec = EnvSpec(id=env_id)
    env = make_vector_env(spec.id, spec.config, num_envs=1)
    try:
        spaces = Spaces(env.single_observation_space, env.single_action_space)
    finally:
        env.close()
    return {"spaces": spaces, "env": EnvInfo(id=spec.id, config=spec.config)}
