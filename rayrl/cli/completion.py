"""What the shell completes: names that rayrl or the file at hand knows. Nothing here imports Ray.

Where nothing is offered, the shell completes files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import typer


def stages(incomplete: str) -> list[str]:
    """Kinds of stages."""
    from rayrl.pipeline.stages import kind_names

    return [name for name in kind_names() if name.startswith(incomplete)]


def envs(incomplete: str) -> list[str]:
    """Gymnasium's ids, rayrl's own among them."""
    import gymnasium

    import rayrl.envs  # noqa: F401  (registers them)

    return sorted(name for name in gymnasium.registry if name.startswith(incomplete))


def architectures(context: typer.Context, incomplete: str) -> list[str]:
    """Architectures of the experiment file that stands on the line."""
    from rayrl.errors import ConfigError
    from rayrl.pipeline.experiment import load_experiment

    # While an option still lacks its value, what stands before it is not parsed.
    given = [context.params.get("file"), *context.args]
    file = next((Path(path) for path in given if path and Path(path).is_file()), None)
    try:
        experiment = load_experiment(file) if file else None
    except ConfigError:
        # The file is not right yet: then there is nothing to offer.
        experiment = None
    named = experiment.architectures if experiment else ()
    return [name for name in named if name.startswith(incomplete)]


def run_folders(incomplete: str) -> list[str]:
    """Runs in their usual place, newest first."""
    found = sorted(Path("runs").glob("*/run.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [str(file.parent) for file in found if str(file.parent).startswith(incomplete)]


def stored_experience(incomplete: str) -> list[str]:
    """Datasets and saved buffers that the path may go on to, and those of runs in their usual place."""
    begun = Path(incomplete)
    parent = begun if incomplete.endswith("/") else begun.parent
    places = [*Path().glob("runs/*/*"), *(parent.iterdir() if parent.is_dir() else [])]
    found = {str(place) for place in places if str(place).startswith(incomplete) and _is_stored(place)}
    return sorted(found)


def _is_stored(folder: Path) -> bool:
    """As ``open_stored`` tells them, without what that imports."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        # Whatever it is, it is not offered.
        return False
    return isinstance(manifest, dict) and "spaces" in manifest


def overrides(incomplete: str) -> list[str]:
    """Keys of the experiment file, each with its sign; ids of environments after ``env.id=``."""
    from rayrl.pipeline.experiment import Experiment

    key, sign, value = incomplete.partition("=")
    if sign:
        return [f"{key}={name}" for name in envs(value)] if key == "env.id" else []
    return [f"{known}=" for known in _keys(Experiment) if known.startswith(incomplete)]


def _keys(model: type, prefix: str = "") -> Iterator[str]:
    from rayrl.config.reference import options_of

    for option in options_of(model):
        if option.section is None:
            yield prefix + option.name
        else:
            yield from _keys(option.section, f"{prefix}{option.name}.")
