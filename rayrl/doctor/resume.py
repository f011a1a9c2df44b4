"""Whether training that is killed goes on exactly: an experiment's own, tried in small.

straight    collect ─▶ pretrain ──────────────▶ train ──────────────────────────────▶ state, curve
                  │                                                                     ║ bit for bit
killed            └──▶ pretrain ✗ SIGKILL ──▶ … ─▶ train ✗ SIGKILL ─▶ train, resumed ─▶ state, curve
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rayrl.doctor.finding import Diagnosis, Finding, of_error
from rayrl.errors import RayrlError, RunError
from rayrl.pipeline import stage_error
from rayrl.pipeline.experiment import Experiment, load_experiment
from rayrl.pipeline.preflight import check_algorithm, check_environment, check_machine
from rayrl.pipeline.processes import MARK, end_marked
from rayrl.pipeline.resume_probe import read_digests
from rayrl.pipeline.run_folder import RunFolder, invocation_of
from rayrl.pipeline.state_digests import part_of
from rayrl.pipeline.trial_config import build_config
from rayrl.pipeline.trial_spec import trials_of
from rayrl.rollout.env_state import has_state
from rayrl.rollout.vector_env import make_vector_env

ITERATIONS = 4
_DEMO_STEPS = 2048
_REPLAYS = 64
_SHOWN = 3
_NEVER_S = 1e9
_REMEDIES = {
    "environments": "get_state must give, and set_state take back, all that the next step depends on, "
    "random numbers included; Gymnasium's np_random is saved beside it",
    "rollouts": "look whether the environment draws from random numbers of its own module or process, and "
    "whether reset(seed=…) sets all of them",
    "replay": "set train.replay.replay_in_checkpoint to full or reference",
}
_REMEDY = "look whether the environment gives the same steps for the same seed and actions"


def verify_resume(
    file: Path,
    overrides: Sequence[str] = (),
    *,
    iterations: int = ITERATIONS,
    say: Callable[[Finding], None] = lambda finding: None,
) -> Diagnosis:
    """Trains an experiment's first trial for some iterations, straight and with a SIGKILL, and compares both.

    Where policies are cloned, cloning is tried in the same way. Everything happens in a temporary folder.

    Args:
        file: the experiment file.
        overrides: ``key.path=value``.
        iterations: two or more of training, after those in which an algorithm only fills its replay buffer;
            and epochs of cloning. The kill comes in the middle.
        say: told each finding as it is made.

    Returns:
        A finding for each part of the state: a problem where it differs, with the first names that do.
    """
    findings = []
    # Short: the Unix sockets of Ray lie deep below it.
    home = Path(tempfile.mkdtemp(prefix="rv-", dir="/tmp"))
    try:
        for finding in _findings(file, overrides, iterations, home):
            say(finding)
            findings.append(finding)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    healthy = all(finding.state != "problem" for finding in findings)
    return Diagnosis(healthy=healthy, findings=tuple(findings))


def _findings(file: Path, overrides: Sequence[str], iterations: int, home: Path) -> Iterator[Finding]:
    try:
        experiment = _first_trial_of(load_experiment(file, overrides))
        check_machine(experiment)
        check_environment(experiment)
        check_algorithm(experiment)
    except RayrlError as error:
        yield of_error("experiment", error)
        return
    environment = _environment(experiment)
    yield environment
    if not experiment.train.save_optimizer_state:
        yield Finding(
            check="optimizer",
            state="warning",
            message="checkpoints do not hold its state, so weights cannot be the same",
            remedy="set train.save_optimizer_state: true",
        )
    warm_up = _warm_up(experiment)
    kept = warm_up + iterations // 2
    small = _in_small(experiment, iterations, kept_every=kept, last=warm_up + iterations)
    straight, killed = RunFolder(home / "straight"), RunFolder(home / "killed")
    try:
        straight.prepare(small, invocation_of(file, overrides, smoke=False))
        if small.clones:
            _probe(straight, "collect")
        # Before the copy, so that both have the same name, demonstrations and all.
        shutil.copytree(straight.path, killed.path)
        if small.clones:
            yield from _compare("pretrain", straight, killed, die_after=iterations // 2)
        elif small.pretrains:
            for folder in (straight, killed):
                _probe(folder, "pretrain")
        if environment.state != "problem":
            yield from _compare("train", straight, killed, die_after=kept + 1)
    except RayrlError as error:
        yield of_error("run", error)


def _first_trial_of(experiment: Experiment) -> Experiment:
    return experiment.model_copy(
        update={
            "seeds": experiment.seeds[:1],
            "entries": experiment.entries[:1],
            "conditions": ("with_pretrain" if experiment.pretrains else "no_pretrain",),
        }
    )


def _environment(experiment: Experiment) -> Finding:
    env = make_vector_env(experiment.env.id, experiment.env.config, experiment.train.envs_per_runner)
    with closing(env):
        tells = has_state(env)
    if tells:
        return Finding(check="environment", state="ok", message="can tell its state and take it back")
    if experiment.train.reset_on_checkpoint:
        text = "cannot tell its state: new episodes begin with each checkpoint (train.reset_on_checkpoint)"
        return Finding(check="environment", state="ok", message=text)
    return Finding(
        check="environment",
        state="problem",
        message="cannot tell its state, so a trial that goes on begins new episodes, which it would not have",
        remedy="give it get_state and set_state (docs/guides/environments.md), or set "
        "train.reset_on_checkpoint: true and train.checkpoint_every_iterations",
    )


def _config(experiment: Experiment) -> Any:
    (spec,) = trials_of(experiment)
    return build_config(experiment, spec, run_name="", gpus=0)


def _warm_up(experiment: Experiment) -> int:
    """Iterations in which an algorithm that learns from replay only fills it."""
    config = _config(experiment)
    if not config.rollouts_for_replay:
        return 0
    iterations: int = math.ceil(config.num_steps_sampled_before_learning_starts / config.steps_per_iteration)
    return iterations


def _in_small(experiment: Experiment, epochs: int, *, kept_every: int, last: int) -> Experiment:
    values = experiment.to_json()
    collect = experiment.collect
    values["collect"]["steps"] = min(collect.steps, _DEMO_STEPS)
    if collect.replays is not None:
        values["collect"]["first_replays"] = min(collect.first_replays or _REPLAYS, _REPLAYS)
    values["pretrain"] |= {"epochs": epochs, "early_stop_patience": None}
    values["train"] |= {
        "total_steps": last * _config(experiment).steps_per_iteration,
        "chunks": None,
        "checkpoint_every_s": _NEVER_S,
        "checkpoint_every_iterations": kept_every,
    }
    return Experiment.model_validate(values)


def _compare(stage: str, straight: RunFolder, killed: RunFolder, *, die_after: int) -> Iterator[Finding]:
    _probe(straight, stage)
    _probe(killed, stage, die_after=die_after)
    _probe(killed, stage)
    yield from compare(stage, read_digests(straight, stage), read_digests(killed, stage))


def compare(stage: str, straight: Mapping[str, str], killed: Mapping[str, str]) -> Iterator[Finding]:
    """A finding for each part of two states, by ``state_digests.part_of``.

    Args:
        stage: where they are from.
        straight: digests of the state by name.
        killed: the same of the run that was killed.
    """
    names = sorted(straight.keys() | killed.keys())
    sizes = Counter(part_of(name) for name in names)
    differing = [name for name in names if straight.get(name) != killed.get(name)]
    for part, size in sizes.items():
        found = [name for name in differing if part_of(name) == part]
        check = f"{stage}: {part}"
        if not found:
            yield Finding(check=check, state="ok", message=f"the same, bit for bit ({size} values)")
            continue
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield Finding(
            check=check,
            state="problem",
            message=f"{len(found)} of {size} values differ: {', '.join(found[:_SHOWN])}{more}",
            remedy=_REMEDIES.get(part, _REMEDY),
            facts={"differing": found},
        )


def _probe(folder: RunFolder, stage: str, *, die_after: int | None = None) -> None:
    """Runs a stage as a process of its own, which is to kill itself where that is asked for."""
    command = [sys.executable, "-m", "rayrl.pipeline.resume_probe", str(folder), stage]
    command += ["--die-after", str(die_after)] if die_after else []
    mark, log = secrets.token_hex(16), folder.path.with_suffix(".log")
    try:
        with log.open("w") as output:
            done = subprocess.run(
                command,
                env=os.environ | {MARK: mark, "TMPDIR": str(folder.path.parent)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # What Ray leaves behind where it is killed ends with its group.
                start_new_session=True,
                check=False,
            )
    finally:
        end_marked(mark)
    if done.returncode == (-signal.SIGKILL if die_after else 0):
        return
    text = log.read_text(errors="replace")
    if error := stage_error.from_output(text):
        raise error
    raise RunError(
        f"the process ended with exit code {done.returncode}: {text.strip()[-2000:]}", where=f"stage {stage}"
    )
