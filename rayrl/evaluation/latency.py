"""How long a policy takes to decide: of one observation, and of a batch.

Timed is ``Policy.step``, as an environment's loop calls it: arrays in, actions out, what lies between them on
the policy's device. The process has one torch thread meanwhile. Observations are those with which episodes of
the environment begin.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rayrl.config import Config
from rayrl.envs.spec import EnvSpec
from rayrl.errors import ConfigError, IntegrityError
from rayrl.evaluation.actors import actor_of
from rayrl.evaluation.environment import evaluation_spec
from rayrl.models.policy import Policy
from rayrl.models.policy_folder import load_policy, read_description
from rayrl.rollout.vector_env import make_vector_env
from rayrl.storage.atomic import read_json, write_json
from rayrl.storage.processor import cpu_model
from rayrl.storage.versions import versions

LATENCY_FILE = "latency.json"
BATCHES = (1, 64)
_WHAT = "the record of latency"
_WARM_S, _MEASURE_S = 0.2, 0.6
"""Seconds for each batch."""
_LEAST, _MOST = 30, 2_000
"""Calls that are timed, whatever the seconds."""


class BatchLatency(Config):
    """Of decisions for some observations at once."""

    batch: int
    p50_ms: float
    """Half of the calls took no longer."""
    p99_ms: float
    """99 of 100 did not."""
    samples: int
    """Calls that were timed, after those that warmed up."""


class Latency(Config):
    """What ``latency.json`` holds."""

    weights_sha256: str
    """Of the policy, as in its ``policy.json``."""
    architecture: str
    device: str
    """``cpu`` or ``cuda``, and which."""
    processor: str
    """The name of the CPU, and of the GPU where it is the device."""
    threads: int
    """Those that torch had."""
    batches: tuple[BatchLatency, ...]
    versions: dict[str, str]
    created: str
    """ISO 8601, UTC."""

    def of(self, batch: int) -> BatchLatency:
        """The numbers of one size of batch.

        Raises:
            KeyError: it was not measured.
        """
        return {each.batch: each for each in self.batches}[batch]


def measure_latency(
    policy_dir: Path | str, env: EnvSpec, *, device: str = "cpu", batches: Sequence[int] = BATCHES
) -> Latency:
    """Times a policy's decisions.

    Args:
        policy_dir: the policy folder.
        env: the environment that its observations come from; it takes its evaluation split.
        device: where the policy runs.
        batches: numbers of observations at once.

    Raises:
        ConfigError: there is no such device.
        IntegrityError: the policy folder is damaged.
        PolicyError: the policy does not fit the environment.
        EnvError: the environment cannot be built.
    """
    if device not in (there := _devices()):
        raise ConfigError(
            f"device = {device!r}: there is no such device here",
            where="latency",
            remedy=f"known: {', '.join(there)}",
        )
    policy, spec = load_policy(policy_dir, device=device), evaluation_spec(env)
    vector_env = make_vector_env(spec.id, spec.config, max(batches))
    try:
        actor_of(policy, spec.id, deterministic=True).check_fits(vector_env, where=spec.id)
        observations, _ = vector_env.reset(seed=0)
    finally:
        vector_env.close()
    with _one_thread():
        timed = tuple(_timed(policy, _first(observations, batch), batch) for batch in batches)
    return Latency(
        weights_sha256=read_description(Path(policy_dir)).weights_sha256,
        architecture=policy.architecture,
        device=device,
        processor=_processor(device),
        threads=1,
        batches=timed,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def save_latency(latency: Latency, path: Path) -> None:
    """Writes the record.

    Raises:
        StorageError: the disk is full or not writable.
    """
    write_json(path, latency.model_dump(), _WHAT)


def load_latency(path: Path) -> Latency:
    """Reads what ``save_latency`` wrote.

    Raises:
        IntegrityError: it is missing or damaged.
    """
    try:
        return Latency.parse(read_json(path, _WHAT), where=str(path))
    except ConfigError as error:
        raise IntegrityError(error.message, where=str(path)) from None


def _first(observations: Any, count: int) -> Any:
    """A batch of the first of some observations, nested as they are."""
    if isinstance(observations, dict):
        return {name: _first(part, count) for name, part in observations.items()}
    if isinstance(observations, tuple):
        return tuple(_first(part, count) for part in observations)
    return np.array(observations[:count])


def _timed(policy: Policy, observations: Any, batch: int) -> BatchLatency:
    state = policy.initial_state(batch)

    def call() -> float:
        # Actions come back as an array, so that a GPU has done its work when the call ends.
        start = time.perf_counter()
        policy.step(observations, state)
        return time.perf_counter() - start

    _repeat(call, seconds=_WARM_S)
    seconds = _repeat(call, seconds=_MEASURE_S)
    p50, p99 = np.percentile(seconds, (50, 99)) * 1e3
    return BatchLatency(batch=batch, p50_ms=float(p50), p99_ms=float(p99), samples=len(seconds))


def _repeat(call: Callable[[], float], *, seconds: float) -> list[float]:
    """Calls until the time is over, as often as is needed at least, and as may be at most."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < _LEAST or (len(taken) < _MOST and time.perf_counter() < end):
        taken.append(call())
    return taken


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _devices() -> list[str]:
    """The devices that policies can run on here."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *(["cuda"] if gpus else []), *gpus]


def _processor(device: str) -> str:
    name = cpu_model()
    return f"{name}; {torch.cuda.get_device_name(device)}" if device.startswith("cuda") else name
