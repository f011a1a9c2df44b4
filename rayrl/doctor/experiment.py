"""What an experiment needs, against what is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rayrl.doctor.finding import Finding, State, gib, of_error
from rayrl.errors import RayrlError
from rayrl.pipeline import preflight
from rayrl.pipeline.experiment import Experiment, load_experiment
from rayrl.pipeline.resources import Bundle, available_memory, this_machine
from rayrl.pipeline.stages import StageKind, load, plan
from rayrl.storage.spaces import space_text

RAY_BYTES = int(1.5 * 2**30)
"""What a private Ray, its job's driver and the controller take, measured."""
PROCESS_BYTES = int(0.4 * 2**30)
"""What a process of a trial takes with a small environment and small networks, measured on CPU."""


def check_experiment(
    file: Path,
    overrides: Sequence[str] = (),
    *,
    address: str | None = None,
    answers: bool = True,
) -> Iterator[Finding]:
    """Compares what an experiment asks for with what there is.

    Args:
        file: the experiment file.
        overrides: ``key.path=value``.
        address: the cluster that it would be sent to; None takes this machine.
        answers: whether that cluster does.
    """
    try:
        experiment = load_experiment(file, overrides)
    except RayrlError as error:
        yield of_error("experiment", error)
        return
    yield _summary(experiment)
    yield _tried("environment", _builds, experiment)
    for kind in dict.fromkeys(unit.kind for unit in plan(experiment) if unit.kind.check):
        yield _tried(f"stage {kind.name}", partial(_options, kind=kind), experiment)
    if address is None:
        machine = this_machine()
        yield _tried("room", _room_here, experiment)
        yield _memory(experiment, machine)
    elif answers:
        yield _tried("room", lambda asked: _room_there(asked, address), experiment)


def judge_memory(*, processes: int, at_once: int, available: int) -> Finding:
    """Whether the trials that run at once fit into memory.

    Args:
        processes: of a trial.
        at_once: trials that run side by side.
        available: bytes.
    """
    least = RAY_BYTES + at_once * processes * PROCESS_BYTES
    facts = {"at_least": least, "available": available, "processes": processes * at_once}
    text = f"Ray and {processes * at_once} processes of trials take at least {gib(least)}"
    if least <= available:
        return Finding(check="trials' memory", state="ok", message=f"{text} of {gib(available)}", facts=facts)
    return Finding(
        check="trials' memory",
        state="warning",
        message=f"{text}, and {gib(available)} are available",
        remedy="lower train.env_runners, or give each trial more CPUs, so that fewer run at once",
        facts=facts,
    )


def _summary(experiment: Experiment) -> Finding:
    counts = {
        "architectures": len(experiment.architectures),
        "conditions": len(experiment.conditions),
        "seeds": len(experiment.seeds),
    }
    trials = counts["architectures"] * counts["conditions"] * counts["seeds"]
    stages = [unit.name for unit in plan(experiment)]
    parts = " × ".join(f"{count} {name if count > 1 else name[:-1]}" for name, count in counts.items())
    text = f"{experiment.name}: {_count(trials, 'trial')} ({parts}), stages {', '.join(stages)}"
    return Finding(
        check="experiment", state="ok", message=text, facts=counts | {"trials": trials, "stages": stages}
    )


def _tried(check: str, function: Callable[[Experiment], Finding], experiment: Experiment) -> Finding:
    try:
        return function(experiment)
    except RayrlError as error:
        return of_error(check, error)


def _builds(experiment: Experiment) -> Finding:
    spaces = preflight.check_environment(experiment)
    text = (
        f"{experiment.env.id} can be built: observes {space_text(spaces.observation)}, "
        f"acts in {space_text(spaces.action)}"
    )
    return Finding(check="environment", state="ok", message=text)


def _options(experiment: Experiment, *, kind: StageKind) -> Finding:
    assert kind.check is not None
    warning = load(kind.check)(experiment)
    state: State = "warning" if warning else "ok"
    return Finding(check=f"stage {kind.name}", state=state, message=warning or "its options are right")


def _room_here(experiment: Experiment) -> Finding:
    preflight.check_machine(experiment)
    machine = this_machine()
    bundles = experiment.train.trial_bundles(machine["GPU"])
    at_once = _at_once(experiment, machine)
    text = f"a trial asks for {_amounts(bundles)}; {at_once} at a time on this machine"
    return Finding(check="room", state="ok", message=text, facts={"trial": bundles, "at_once": at_once})


def _room_there(experiment: Experiment, address: str) -> Finding:
    from rayrl.pipeline.cluster import connect

    client = connect(address)
    warning = preflight.check_cluster(experiment, client, None)
    gpus = sum(node["GPU"] for node in client.nodes())
    text = f"a trial asks for {_amounts(experiment.train.trial_bundles(gpus))}"
    if warning:
        remedy = "name its cluster launcher's file in `rayrl run --cluster FILE`, or ask for less"
        return Finding(check="room", state="warning", message=f"{text}; {warning}", remedy=remedy)
    return Finding(check="room", state="ok", message=f"{text}; there is room")


def _memory(experiment: Experiment, machine: Bundle) -> Finding:
    processes, at_once = len(experiment.train.trial_bundles(machine["GPU"])), _at_once(experiment, machine)
    return judge_memory(processes=processes, at_once=at_once, available=available_memory())


def _at_once(experiment: Experiment, machine: Bundle) -> int:
    """Trials that fit side by side, by the sums of what they ask for; at least one."""
    bundles = experiment.train.trial_bundles(machine["GPU"])
    asked = {name: sum(bundle[name] for bundle in bundles) for name in ("CPU", "GPU")}
    fit = min(int(machine[name] // amount) for name, amount in asked.items() if amount)
    trials = len(experiment.seeds) * len(experiment.architectures) * len(experiment.conditions)
    return max(1, min(fit, trials))


def _amounts(bundles: Sequence[Bundle]) -> str:
    total = {name: sum(bundle[name] for bundle in bundles) for name in ("CPU", "GPU")}
    text = " and ".join(f"{_count(amount, name)}" for name, amount in total.items() if amount)
    return f"{text} in {len(bundles)} processes" if len(bundles) > 1 else text


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}" if number == 1 else f"{number:g} {what}s"
