"""How often, or how closely, a policy does what was demonstrated: in all, and by who demonstrated where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rayrl.algorithms.device_columns import observed_in
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Ragged
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.sequences import chunks


def agreements(network: ActorCriticNetwork, batch: TrajectoryBatch) -> dict[str, Any]:
    """The policy's most likely actions beside the demonstrated ones.

    Args:
        network: the policy, on whatever device.
        batch: demonstrations.

    Returns:
        ``all``, and by name ``demonstrators``, ``scenarios`` and (of Discrete actions) ``actions``: each with
        ``steps`` and ``value``, which is the share of steps with the same action, or the mean distance of
        continuous actions in the policy's units; ``commonest`` is the share of the most frequent action.
    """
    actions: Any = batch.columns[c.ACTIONS]
    if not len(actions):
        return {"all": {"steps": 0, "value": None}, "demonstrators": {}, "scenarios": {}, "actions": {}}
    values = _per_step(network, batch)
    found: dict[str, Any] = {"all": _mean(values)}
    for name, column in (("demonstrators", c.DEMONSTRATOR), ("scenarios", c.SCENARIO)):
        found[name] = dict(_by_text(batch, column, values))
    found["actions"] = {}
    if actions.ndim == 1 and np.issubdtype(actions.dtype, np.integer):
        kinds, counts = np.unique(actions, return_counts=True)
        found["actions"] = {str(kind): _mean(values[actions == kind]) for kind in kinds.tolist()}
        found["commonest"] = float(counts.max() / len(actions))
    return found


def agreement_of(mode: NDArray[Any], actions: NDArray[Any]) -> NDArray[np.float64]:
    """``(B,)`` 1 where a discrete action is the same, else 0; of a continuous one the mean distance."""
    rows = mode.reshape(len(mode), -1), actions.reshape(len(actions), -1)
    if np.issubdtype(actions.dtype, np.floating):
        distance: NDArray[np.float64] = np.abs(rows[0] - rows[1]).mean(axis=1).astype(np.float64)
        return distance
    same: NDArray[np.float64] = (rows[0] == rows[1]).all(axis=1).astype(np.float64)
    return same


@torch.inference_mode()
def _per_step(network: ActorCriticNetwork, batch: TrajectoryBatch) -> NDArray[np.float64]:
    distribution, device = network.distribution, next(network.parameters()).device
    shown: Any = distribution.from_env(batch.columns[c.ACTIONS])  # type: ignore[arg-type]
    observed = observed_in(batch, torch.device("cpu"))
    agreement = np.empty(len(shown))
    for rows, sequences in chunks(batch.offsets, network.initial_state(batch.num_trajectories)):
        taken = rows if isinstance(rows, slice) else rows.numpy(force=True)
        here = rows if isinstance(rows, slice) else rows.cpu()
        parts = {name: part.to(device) for name, part in observed.take(here).items()}
        mode = distribution.mode(network.policy(parts, sequences).float().numpy(force=True))
        agreement[taken] = agreement_of(mode, shown[taken])
    return agreement


def _by_text(
    batch: TrajectoryBatch, column: str, values: NDArray[np.float64]
) -> Iterator[tuple[str, dict[str, Any]]]:
    names = batch.trajectory_columns.get(column)
    if isinstance(names, Ragged):
        of_row = np.array(names.to_text())[batch.trajectory_of_row()]
        for name in dict.fromkeys(of_row.tolist()):
            yield name, _mean(values[of_row == name])


def _mean(values: NDArray[np.float64]) -> dict[str, Any]:
    return {"steps": len(values), "value": float(values.mean())}
