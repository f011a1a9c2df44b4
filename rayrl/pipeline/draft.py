"""A first experiment file for an environment: what it needs, and comments that say what else there is."""

from __future__ import annotations

import inspect
import re
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import pydantic
import yaml
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import VectorEnv

from rayrl.config.reference import Option, options_of, yaml_text
from rayrl.envs.demonstrators import demonstrators_for
from rayrl.envs.spec import options_model
from rayrl.errors import EnvError, RunError
from rayrl.evaluation.suites import names_for
from rayrl.models.graph_space import is_graph
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.preflight import check_environment
from rayrl.rollout.vector_env import find_env, make_vector_env
from rayrl.storage.atomic import write_text
from rayrl.storage.spaces import Spaces, leaf_spaces, space_text

_WIDTH = 110
_PROBE_S = 1.0
_PROBE_STEPS = 256
_SLOW_MS = 2.0
"""Milliseconds of a step from which on the environment, and not learning, is what a run waits for."""
_PLAIN = bool | int | float | str | None
_LARGE_IMAGE, _SMALL_IMAGE = 36, 12
_FILTERS = {
    _LARGE_IMAGE: [[32, 8, 4], [64, 4, 2], [64, 3, 1]],
    _SMALL_IMAGE: [[16, 4, 2], [32, 3, 2]],
}
"""Convolutions by the least extent of an image; the larger ones are those of Mnih et al. 2015."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen of an environment when it is built and stepped."""

    spaces: Spaces
    arguments: Mapping[str, Any]
    """Its keyword arguments that are plain values, with their defaults."""
    most_steps: int | None
    """Steps after which an episode is cut."""
    step_ms: float
    """Milliseconds that one sub-environment takes for a step."""
    fault: str | None
    """What it raised while it was stepped."""


def write_draft(env_id: str, file: Path | None) -> Path:
    """Writes a commented experiment file that runs as it is.

    Args:
        env_id: a Gymnasium id, or ``module:Class``.
        file: the file; None names it after the environment.

    Returns:
        The file.

    Raises:
        EnvError: the environment is unknown, or cannot be built or reset.
        SpaceError: no network reads its observations, or gives its actions.
        RunError: there is such a file already.
        StorageError: the file cannot be written.
    """
    file = file or Path(f"{draft_name(env_id)}.yaml")
    if file.exists():
        raise RunError("there is such a file already", where=str(file), remedy="name another one")
    text = draft(env_id, look_at(env_id), file)
    check_environment(Experiment.parse(yaml.safe_load(text), where=str(file)))
    write_text(file, text, "the experiment file")
    return file


def draft_name(env_id: str) -> str:
    """A name for an experiment: that of the environment, without module, namespace and version."""
    name = re.sub(r"-v\d+$", "", re.split(r"[/:]", env_id)[-1]).lower()
    return re.sub(r"[^a-z0-9._-]+", "-", name).strip("-._") or "experiment"


def look_at(env_id: str) -> Look:
    """Builds an environment, resets it, and steps it for a moment with random actions.

    Raises:
        EnvError: it is unknown, or cannot be built or reset.
    """
    env = make_vector_env(env_id, {}, num_envs=1)
    try:
        try:
            env.reset(seed=0)
        except Exception as error:
            text = f"raised {type(error).__name__} in reset: {error}"
            raise EnvError(text, where=f"env {env_id}") from error
        env.action_space.seed(0)
        step_ms, fault = _try_steps(env)
        spaces = Spaces(env.single_observation_space, env.single_action_space)
    finally:
        env.close()
    arguments, most_steps = _arguments(env_id)
    return Look(spaces, arguments, most_steps, step_ms, fault)


def _try_steps(env: VectorEnv) -> tuple[float, str | None]:
    """Milliseconds of a step, a median because the first one may compile; and what was raised."""
    seconds: list[float] = []
    start = time.perf_counter()
    while len(seconds) < _PROBE_STEPS and time.perf_counter() - start < _PROBE_S + (seconds or [0])[0]:
        before = time.perf_counter()
        try:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            seconds.append(time.perf_counter() - before)
            if terminated.any() or truncated.any():
                env.reset()
        except Exception as error:
            return 1000 * median(seconds or [0]), f"{type(error).__name__}: {error}"
    return 1000 * median(seconds), None


def draft(env_id: str, seen: Look, file: Path) -> str:
    """The text of an experiment file.

    Args:
        env_id: the environment.
        seen: what was seen of it.
        file: where the text will be; its comments name it.
    """
    demonstrators = [name for name in demonstrators_for(env_id) if name != "random"]
    conditions = ["no_pretrain", "with_pretrain"] if demonstrators else ["no_pretrain"]
    top = {option.name: option for option in options_of(Experiment)}
    sections = {name: {o.name: o for o in options_of(o.section)} for name, o in top.items() if o.section}
    lines = [
        *_comment(f"An experiment on {env_id}. Lines that are commented out hold defaults."),
        f"#   rayrl doctor {file}         what it needs, against what is here",
        f"#   rayrl run {file} --smoke    the same in seconds",
        f"#   rayrl run {file}",
        "",
        *_line(top["name"], draft_name(env_id)),
        *_line(top["seeds"], [0, 1, 2]),
        "",
        *_about(seen),
        "env:",
        *_line(sections["env"]["id"], env_id, "  "),
        *_line(sections["env"]["config"], {}, "  "),
        *_arguments_text(env_id, seen.arguments),
        "",
        *_line(top["architectures"], ["mlp_baseline"]),
        *_line(top["conditions"], conditions),
        "",
    ]
    if demonstrators:
        shares = dict.fromkeys(demonstrators, 1)
        lines += _section("collect", sections["collect"], {"demonstrators": shares, "steps": 8192})
        lines += _section("pretrain", sections["pretrain"], {"epochs": 10})
    else:
        lines += _comment(
            "There are no demonstrators for this environment. Register one as the guide to environments "
            "says, name it under collect.demonstrators, and add the condition with_pretrain."
        )
        lines += [""]
    train = {"algorithm": "ppo", "total_steps": 100_000, "options": _algorithm_options(seen.spaces)}
    lines += _section("train", sections["train"], train)
    suites = names_for(env_id)
    evaluate = {"suite": suites[0]} if suites else {}
    lines += _section("evaluate", sections["evaluate"], {**evaluate, "episodes": 20})
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(name: str, options: Mapping[str, Option], chosen: Mapping[str, Any]) -> list[str]:
    """A section: the chosen values, and the other options commented out."""
    lines = [f"{name}:"]
    for key, value in chosen.items():
        lines += _line(options[key], value, "  ")
    others = [option for key, option in options.items() if key not in chosen and option.section is None]
    lines += [line for option in others for line in _line(option, option.default, "  # ")]
    return [*lines, ""]


def _line(option: Option, value: Any, indent: str = "") -> list[str]:
    """An option with what it means: behind it where there is room, else above it."""
    line, meaning = f"{indent}{option.name}: {yaml_text(value)}", option.meaning.replace("``", "`")
    if not meaning:
        return [line]
    if len(line) + len(meaning) + 4 <= _WIDTH:
        return [f"{line}  # {meaning}"]
    # Within what is commented out already, a comment is set off by a second mark.
    return [*_comment(meaning, indent if indent.isspace() or not indent else f"{indent}# "), line]


def _comment(text: str, indent: str = "") -> list[str]:
    mark = indent if indent.endswith("# ") else f"{indent}# "
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=mark,
        subsequent_indent=mark,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _about(seen: Look) -> Iterator[str]:
    """What was seen of the environment, as comments."""
    yield from _comment(f"observes {space_text(seen.spaces.observation)}")
    yield from _comment(f"acts in {space_text(seen.spaces.action)}")
    if seen.most_steps is not None:
        yield from _comment(f"episodes are cut after {seen.most_steps:,} steps")
    if seen.fault:
        fault = (
            f"it raised {seen.fault} when it was tried; train.options.max_env_failures says how often it may"
        )
        yield from _comment(fault)
    if seen.step_ms >= _SLOW_MS:
        minutes = seen.step_ms * 100_000 / 60_000
        yield from _comment(
            f"a step takes {seen.step_ms:.1f} ms here, so 100,000 of them take some {minutes:.0f} minutes in "
            "one process; train.env_runners adds processes"
        )


def _arguments_text(env_id: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    """The environment's own options, commented out below ``config``."""
    model = options_model(env_id)
    if model is not None:
        yield "  # Its options, with their defaults:"
        yield from _options_text(
            model, {option.name: option.default for option in options_of(model)}, "  #   "
        )
    elif arguments:
        yield "  # Those that it has, with their defaults:"
        yield from (f"  #   {name}: {yaml_text(value)}" for name, value in arguments.items())


def _options_text(model: type[pydantic.BaseModel], values: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Options with their values, those of a section below its name."""
    for option in options_of(model):
        if option.section is None:
            yield from _line(option, values[option.name], indent)
        else:
            if option.meaning:
                yield from _comment(option.meaning.replace("``", "`"), f"{indent}# ")
            yield f"{indent}{option.name}:"
            yield from _options_text(option.section, values[option.name], f"{indent}  ")


def _algorithm_options(spaces: Spaces) -> dict[str, Any]:
    options: dict[str, Any] = {"lr": 3.0e-4, "gamma": 0.99}
    if isinstance(spaces.action, gym.spaces.Box):
        # Rewards of continuous control differ in scale by orders of magnitude.
        options["normalize_rewards"] = True
    if filters := _convolutions(spaces.observation):
        options["model_config"] = {"conv_filters": filters}
    return options


def _convolutions(observation: gym.Space) -> list[list[int]] | None:
    """Filters for the smallest image among the parts of an observation; None where there is none.

    Beside a graph none are set: the architectures that read graphs have layers of their own for images, and
    refuse these, and ``mlp_baseline`` is there to be compared with them, on vectors alone.
    """
    if isinstance(observation, gym.spaces.Dict) and any(map(is_graph, observation.spaces.values())):
        return None
    sides = [
        min(part.shape[:2])
        for part in leaf_spaces(observation, "obs").values()
        if isinstance(part, gym.spaces.Box) and len(part.shape) == 3
    ]
    return next((filters for least, filters in _FILTERS.items() if sides and min(sides) >= least), None)


def _arguments(env_id: str) -> tuple[dict[str, Any], int | None]:
    """The constructor's keyword arguments that are plain values, and the step limit of an id."""
    found, given, most_steps = find_env(env_id), {}, None
    if isinstance(found, EnvSpec):
        given, most_steps = found.kwargs, found.max_episode_steps
        entry = found.entry_point
        create = load_env_creator(entry) if isinstance(entry, str) else entry
    else:
        create = found
    try:
        parameters = inspect.signature(create).parameters.values() if create else ()
    except (TypeError, ValueError):
        # Some extension types do not tell.
        parameters = ()
    defaults = {
        each.name: given.get(each.name, each.default)
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) and each.name != "render_mode"
    }
    return {name: value for name, value in defaults.items() if isinstance(value, _PLAIN)}, most_steps
