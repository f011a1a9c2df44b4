"""``rayrl evaluate``: plays episodes with a saved policy, or with a demonstrator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rayrl.cli import completion
from rayrl.cli.options import AsJson, Debug


def evaluate(
    policy_dir: Annotated[
        Path, typer.Argument(metavar="POLICY_DIR", help="Policy folder, or a demonstrator.")
    ],
    env: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Gymnasium id, or module:Class.", autocompletion=completion.envs),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--for",
            metavar="FILE",
            help="Experiment file, or a run's config.json: its env, in the episodes of its evaluate.",
        ),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Episodes of each category; 20, or as FILE says.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Categories to play as well, or a file of levels.")
    ] = None,
    stochastic: Annotated[
        bool, typer.Option("--stochastic", help="Draws a policy's actions; else the most likely are taken.")
    ] = False,
    max_steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Steps after which an episode is cut.")
    ] = None,
    episode_timeout_s: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Seconds after which an episode is cut.")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Plays episodes with a saved policy, on fixed seeds; needs no Ray."""
    from rayrl.envs.spec import EnvSpec
    from rayrl.errors import ConfigError
    from rayrl.evaluation.in_categories import evaluate_in_categories
    from rayrl.evaluation.options import EvaluateOptions
    from rayrl.evaluation.seen_levels import seen_in_training
    from rayrl.evaluation.suites import categories_of
    from rayrl.evaluation.table import results_table
    from rayrl.pipeline.experiment import load_experiment

    given: dict[str, Any] = {
        "episodes": episodes,
        "suite": suite,
        "max_steps": max_steps,
        "episode_timeout_s": episode_timeout_s,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    if (env is None) == (file is None):
        raise ConfigError(
            "give the environment once" if env else "the environment is not given",
            where="--env, --for",
            remedy="--env ID takes it with its own options, --for FILE as an experiment trains on it",
        )
    if file is None:
        assert env is not None
        spec, options = EnvSpec(id=env), EvaluateOptions()
    else:
        experiment = load_experiment(file)
        spec, options = experiment.env, experiment.evaluate
    options = EvaluateOptions.parse(options.model_dump() | asked, where="rayrl evaluate")
    if file is not None:
        categories = categories_of(spec, options.suite, options.categories, levels=options.levels)
        if warning := seen_in_training(spec, categories, options.env_config):
            typer.echo(f"warning: {warning}", err=True)
    result = evaluate_in_categories(str(policy_dir), spec, options, deterministic=not stochastic)
    typer.echo(json.dumps(result.to_json(), indent=2) if as_json else results_table(result))
