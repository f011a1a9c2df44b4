"""Whether a policy from outside fits an experiment, before anything is run with it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rayrl.algorithms.bc.agreement import agreements
from rayrl.doctor.finding import Diagnosis, Finding, of_error
from rayrl.envs import default_mix
from rayrl.errors import RayrlError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.dataset import Dataset, open_dataset
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.external_weights import ExternalWeights
from rayrl.pipeline.experiment import Experiment, load_experiment
from rayrl.pipeline.external_policy import external_weights, network_with
from rayrl.rollout.demo_plan import spaces_of
from rayrl.rollout.demos import collect_demonstrations
from rayrl.storage.manifest import MANIFEST_FILE
from rayrl.storage.spaces import Spaces

_SAMPLE_STEPS = 512
_SAMPLE_ENVS = 4
_SAMPLE_REPLAYS = 32
_MARGIN = 0.02


def check_policy(
    path: Path,
    file: Path,
    overrides: Sequence[str] = (),
    *,
    say: Callable[[Finding], None] = lambda finding: None,
) -> Diagnosis:
    """Looks whether an experiment could start from a policy: its weights, spaces, normalizer and actions.

    Args:
        path: a policy folder, or a file of tensors.
        file: the experiment file; of a run folder's ``config.json``, the run's demonstrations are looked at.
        overrides: ``key.path=value``.
        say: told each finding as it is made.
    """
    findings = []
    for finding in _findings(path, file, overrides):
        say(finding)
        findings.append(finding)
    healthy = all(finding.state != "problem" for finding in findings)
    return Diagnosis(healthy=healthy, findings=tuple(findings))


def _findings(path: Path, file: Path, overrides: Sequence[str]) -> Iterator[Finding]:
    # As a run that takes the policy as it is, which needs no demonstrations.
    asked = [f"pretrain.from={json.dumps(str(path))}", "pretrain.skip_bc=true", "conditions=[with_pretrain]"]
    try:
        experiment = load_experiment(file, [*overrides, *asked])
        spaces = spaces_of(experiment.env)
        weights = external_weights(experiment, spaces)
    except RayrlError as error:
        yield of_error("policy", error)
        return
    assert weights is not None
    yield _weights(weights)
    yield _spaces(weights, spaces)
    networks = []
    for name in experiment.architectures:
        try:
            network, report = network_with(weights, experiment, name, spaces)
        except RayrlError as error:
            yield of_error("network", error)
            continue
        networks.append(network)
        yield Finding(check="network", state="warning" if report.left else "ok", message=f"{name}: {report}")
        yield _normalizer(network)
    if networks:
        try:
            batch = _sample(experiment, file)
        except RayrlError as error:
            yield of_error("sample data", error)
            return
        yield _agreement(networks[0], batch)


def _weights(weights: ExternalWeights) -> Finding:
    shapes = {name: list(tensor.shape) for name, tensor in weights.state.items()}
    numbers = sum(tensor.numel() for tensor in weights.state.values())
    text = f"{len(shapes)} tensors of {numbers:,} numbers, for {weights.architecture}"
    return Finding(check="weights", state="ok", message=text, facts={"shapes": shapes})


def _spaces(weights: ExternalWeights, spaces: Spaces) -> Finding:
    if weights.spaces is not None:
        return Finding(check="spaces", state="ok", message="those of the environment")
    return Finding(
        check="spaces",
        state="warning",
        message="a file of tensors does not tell them: only the shapes can be compared",
        remedy="make sure that the observations have the same meaning, or keep policies as policy folders",
    )


def _normalizer(network: ActorCriticNetwork) -> Finding:
    normalizer = network.normalizer
    if not normalizer.enabled:
        return Finding(check="normalizer", state="ok", message="the network takes observations as they are")
    rows = int(normalizer.count)
    if rows:
        return Finding(check="normalizer", state="ok", message=f"has the moments of {rows:,} observations")
    return Finding(
        check="normalizer",
        state="warning",
        message="the weights come without the moments of the observations that they were learned with",
        remedy="clone further (pretrain.skip_bc: false), which takes them from the demonstrations; or set "
        "train.options.model_config.normalize_observations: false",
    )


def _agreement(network: ActorCriticNetwork, batch: TrajectoryBatch) -> Finding:
    found = agreements(network, batch)
    value, steps, commonest = found["all"]["value"], found["all"]["steps"], found.get("commonest")
    if commonest is None:
        text = f"on {steps:,} steps its actions are {value:.3g} from those of demonstrators, in [-1, 1]"
        return Finding(check="agreement", state="ok", message=text, facts=found)
    each = ", ".join(f"{name} {of['value']:.1%}" for name, of in found["demonstrators"].items())
    text = f"on {steps:,} steps it takes the demonstrated action in {value:.1%} ({each})"
    if value >= commonest + _MARGIN:
        return Finding(check="agreement", state="ok", message=text, facts=found)
    return Finding(
        check="agreement",
        state="warning",
        message=f"{text}, and the commonest action alone would in {commonest:.1%}",
        remedy="look whether it was trained for this task: `rayrl evaluate` plays it",
        facts=found,
    )


def _sample(experiment: Experiment, file: Path) -> TrajectoryBatch:
    """Demonstrations: those of the run that the file belongs to, or some that are collected now."""
    there = file.parent / "collect"
    if (there / MANIFEST_FILE).exists():
        return open_dataset(there).load()
    if experiment.collect.replays is not None:
        return _sample_of_replays(experiment)
    own: dict[str, Any] = dict(experiment.collect.demonstrators)
    options = experiment.collect.model_copy(
        update={
            "demonstrators": own or default_mix(experiment.env.id) or {"random": 1.0},
            "scenarios": {},
            "steps": _SAMPLE_STEPS,
            "envs": _SAMPLE_ENVS,
            "workers": 0,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        dataset = collect_demonstrations(experiment.env, Path(folder) / "sample", options)
        assert dataset is not None  # nothing asks it to stop
        return _copied(dataset)


def _sample_of_replays(experiment: Experiment) -> TrajectoryBatch:
    from rayrl.rollout.maze_replays import simulate_replays  # compiles the mine maze
    from rayrl.rollout.replay_demos import plan_replays

    first = min(experiment.collect.first_replays or _SAMPLE_REPLAYS, _SAMPLE_REPLAYS)
    options = experiment.collect.model_copy(update={"first_replays": first})
    with tempfile.TemporaryDirectory() as folder:
        dataset = simulate_replays(plan_replays(experiment.env, options), Path(folder) / "sample")
        assert dataset is not None  # nothing asks it to stop
        return _copied(dataset)


def _copied(dataset: Dataset) -> TrajectoryBatch:
    """The dataset in memory of its own: its files are about to go."""
    batch = dataset.load()
    return TrajectoryBatch.concat([batch.slice(0, 0), batch])
