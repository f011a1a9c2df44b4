"""Cutting batches shorter."""

from functools import partial
from typing import Any

import pytest
from gymnasium.vector import AutoresetMode

from rayrl.experience.cutting import first_steps
from rayrl.rollout.collector import Collector
from rayrl.rollout.origin import Origin
from tests.rollout.counting_env import KINDS, RightActions, check_batch, sync_env


@pytest.mark.parametrize("kind", KINDS)
def test_first_steps_cut_a_trajectory_as_a_rollout_would(kind: str) -> None:
    make = partial(sync_env, 3, AutoresetMode.DISABLED, kind=kind)
    collecting = Collector(make, Origin("cut", seed=2))
    collecting.collect(RightActions(), num_steps=4)
    batch = collecting.collect(RightActions(), num_steps=30).batch
    whole = check_batch(batch)
    for steps in range(1, 31):
        cut = first_steps(batch, steps)
        assert cut.num_steps == steps
        parts = check_batch(cut)
        assert parts[:-1] == whole[: len(parts) - 1]
        assert parts[-1][:3] == whole[len(parts) - 1][:3]
        columns: Any = cut.trajectory_columns
        assert columns.keys() == batch.trajectory_columns.keys()
    assert first_steps(batch, 30) is batch
