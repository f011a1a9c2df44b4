"""B router episodes side by side: what both environments, single and vectorized, run on.

actions ─▶ route ────▶ measure ───▶ reward ─▶ observe ─▶ policy
           simulator   telemetry    reward    observation
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rayrl.envs.router.config import RouterConfig
from rayrl.envs.router.metrics import episode_metrics
from rayrl.envs.router.observation import Layout, observe
from rayrl.envs.router.reward import RewardFormula, RewardMemory, reward
from rayrl.envs.router.simulator import NONE, Serving, Simulation, drain, route
from rayrl.envs.router.telemetry import Telemetry, measure
from rayrl.envs.router.workload import Workload
from rayrl.envs.side_by_side import Bounds, check_bounds, check_one_each, check_state
from rayrl.errors import EnvError

_LATEST = 2.0**52
"""Seconds of a request: a second earlier is another number still, so that the telemetry, which looks for the
first request of the last second, finds one."""


class StepResult(NamedTuple):
    """What a step of B episodes brought."""

    observations: NDArray[np.float32]
    """(B, D)"""
    rewards: NDArray[np.float64]
    """(B,)"""
    truncated: NDArray[np.bool_]
    """(B,): this step's decision was the episode's last."""
    metrics: dict[str, NDArray[np.float64]]
    """Of the truncated episodes, in order of their slots; empty when there are none."""


class RouterEpisodes:
    """State and dynamics of ``num_envs`` independent episodes; one that is over is begun anew by ``step``.

    Raises:
        ConfigError, DataError: as ``Workload`` does.
    """

    def __init__(self, config: RouterConfig, num_envs: int) -> None:
        self.config = config
        self.num_envs = num_envs
        self.workload = Workload(config)
        self.serving = Serving.of(config)
        self.simulation = Simulation.empty(config, num_envs)
        self.telemetry = Telemetry.empty(config, num_envs)
        rate = config.reference_qps or self.workload.rate
        self._layout = Layout.of(config, offered_rate=rate)
        self._formula = RewardFormula.of(config.reward, offered_rate=rate, kv_blocks=config.kv_cache.blocks)
        self._memory = RewardMemory.empty(num_envs)
        self._seeds = np.zeros(num_envs, np.uint64)
        self._begun = np.zeros(num_envs, np.int64)
        self._over: NDArray[np.bool_] | None = None

    @property
    def over(self) -> NDArray[np.bool_]:
        """Which episodes have had their last decision, (B,).

        Raises:
            EnvError: before the first reset.
        """
        if self._over is None:
            raise EnvError("step before the first reset", where="rayrl/Router-v0")
        return self._over

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> NDArray[np.float32]:
        """Begins the first episode of each seed (B,), or the next one where no seeds are given.

        Without any seed so far, the operating system gives them. Returns the observations, (B, D).

        Raises:
            EnvError: there are more or fewer seeds than episodes.
        """
        if seeds is None and self._over is None:
            seeds = np.random.SeedSequence().generate_state(self.num_envs, np.uint64).astype(np.uint64)
        if seeds is not None:
            check_one_each("seeds", seeds, self.num_envs, where="rayrl/Router-v0")
            self._seeds[:], self._begun[:] = seeds, 0
        self._begin(range(self.num_envs))
        self._over = np.zeros(self.num_envs, np.bool_)
        return self._measure()[0]

    def step(self, actions: NDArray[np.int64]) -> StepResult:
        """Routes the request of every episode to the replica that ``actions`` (B,) names.

        An episode that was over ignores its action and begins anew, with reward 0.

        Raises:
            EnvError: before the first reset, or if there is not one action for each that names a replica.
        """
        check_one_each("actions", actions, self.num_envs, where="rayrl/Router-v0")
        invalid = route(self.simulation, self.serving, actions, self.over)
        if invalid != NONE:
            raise EnvError(
                f"action {actions[invalid]} names no replica",
                where="rayrl/Router-v0",
                remedy=f"Replicas are 0 to {self.config.replicas - 1}.",
            )
        if self.over.any():
            self._begin(np.flatnonzero(self.over).tolist())
        observations, rewards = self._measure()
        self._over = self._last_decision_made()
        metrics = {}
        if self._over.any():
            drain(self.simulation, self.serving, self._over)
            metrics = episode_metrics(
                self.simulation, self.telemetry, self.config.slo, np.flatnonzero(self._over)
            )
        return StepResult(observations, rewards, self._over.copy(), metrics)

    def signals(self) -> dict[str, NDArray[np.float64]]:
        """How loaded each episode's replicas are at this arrival, (B,) each.

        queue      mean requests of a replica, as a share of those that decode at once at saturation
        latency    mean latency of completed requests, as a share of ``reward.latency_threshold_s``
        balance    1 / (1 + CV of the queue lengths)
        """
        fleet = self.telemetry.fleet
        return {
            "queue": fleet["queue_mean"] / self.workload.saturation.sequences,
            "latency": fleet["latency"] / self.config.reward.latency_threshold_s,
            "balance": fleet["balance"].copy(),
        }

    def get_state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all arrays that the episodes consist of; ``set_state`` goes on from them bitwise."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores what ``get_state`` returned.

        Raises:
            DataError: the state is of another configuration or number of environments, or has a number that
                names no request or replica.
        """
        arrays = self._arrays()
        check_state(state, arrays)
        check_bounds(state, self._bounds(state), range(self.num_envs), where="rayrl/Router-v0")
        for name, array in arrays.items():
            array[...] = state[name]
        self._over = self._last_decision_made() if self._begun.all() else None

    def _bounds(self, state: Mapping[str, NDArray[np.generic]]) -> dict[str, Bounds]:
        """What those numbers of a state may be by which compiled code finds its way."""
        last = self.config.requests
        return {
            "begun": (0, np.iinfo(np.int64).max),
            "simulation/requests/arrived": (0, _LATEST),
            "simulation/requests/replica": (NONE, self.config.replicas - 1),
            "simulation/requests/behind": (NONE, last),
            "simulation/replicas/head": (NONE, last),
            "simulation/replicas/tail": (NONE, last),
            "simulation/replicas/waiting": (0, last),
            "simulation/replicas/running": (0, self.config.batching.max_sequences),
            "simulation/running": (0, last),
            "simulation/episodes/decision": (0, last),
            "telemetry/fleet/samples": (0, last + 1),
            "telemetry/fleet/recent": (0, state["simulation/episodes/decision"]),
        }

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        """Views of the whole state, one per array or field of a record."""
        parts: dict[str, Any] = {
            "simulation": self.simulation,
            "telemetry": self.telemetry,
            "reward": self._memory,
        }
        arrays: dict[str, NDArray[np.generic]] = {"seeds": self._seeds, "begun": self._begun}
        for part, record in parts.items():
            for name, array in zip(record._fields, record, strict=True):
                fields = array.dtype.names or ()
                arrays |= {f"{part}/{name}/{field}": array[field] for field in fields}
                if not fields:
                    arrays[f"{part}/{name}"] = array
        return arrays

    def _begin(self, slots: range | list[int]) -> None:
        for b in slots:
            requests = self.workload.draw(int(self._seeds[b]), int(self._begun[b]))
            self.simulation.begin(b, *requests)
            self.telemetry.begin(b)
            self._memory.begin(b)
            self._begun[b] += 1

    def _last_decision_made(self) -> NDArray[np.bool_]:
        made: NDArray[np.bool_] = self.simulation.episodes["decision"] == self.config.requests
        return made

    def _measure(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Observations (B, D) and rewards (B,) at the arrivals that now await routing."""
        observations = np.empty((self.num_envs, len(self._layout.units)), np.float32)
        rewards = np.empty(self.num_envs, np.float64)
        measure(self.simulation, self.serving, self.telemetry)
        reward(self.telemetry, self._memory, self._formula, self.over, rewards)
        observe(self.simulation, self.telemetry, self._layout, observations)
        return observations, rewards
