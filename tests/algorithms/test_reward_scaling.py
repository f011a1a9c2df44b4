import numpy as np
import pytest
import torch

from rayrl.algorithms import reward_scaling
from rayrl.algorithms.reward_scaling import RewardScaler


def test_rewards_are_divided_by_the_spread_of_discounted_returns():
    # γ = 0.5. Trajectory 1: G = 1, 0.5·1 + 2 = 2.5. Trajectory 2 starts anew: G = 3.
    # n = 3, ΣG = 6.5, ΣG² = 1 + 6.25 + 9 = 16.25;  variance = 16.25/3 - (6.5/3)² = 0.722222
    scaler = RewardScaler(0.5)
    scaled = scaler.scale(np.array([1, 2, 3], np.float32), np.array([0, 2, 3]))
    assert scaled == pytest.approx(np.array([1, 2, 3]) / 0.7222222**0.5)
    assert scaled.dtype == np.float32
    assert scaler.moments.tolist() == [3, 6.5, 16.25]
    # A second batch is scaled by the moments of both: G = -1; n = 4, ΣG = 5.5, ΣG² = 17.25;
    # variance = 17.25/4 - (5.5/4)² = 2.421875
    assert scaler.scale(np.array([-1], np.float32), np.array([0, 1])) == pytest.approx([-1 / 2.421875**0.5])


def test_scaled_rewards_are_bounded():
    scaler = RewardScaler(0.5, clip=2.0)
    scaled = scaler.scale(np.array([0] * 99 + [1000, -1000], np.float32), np.arange(102))
    assert scaled[-2:].tolist() == [2, -2]


def test_equal_returns_do_not_divide_by_zero():
    scaled = RewardScaler(0.5).scale(np.zeros(3, np.float32), np.array([0, 3]))
    assert scaled.tolist() == [0, 0, 0]


def test_what_learners_add_up_lies_on_their_device(monkeypatch):
    # NCCL takes no tensor of the host's. "meta" stands for a device that is not the host.
    devices = []

    def add_up(tensor: torch.Tensor) -> torch.Tensor:
        devices.append(tensor.device.type)
        return torch.ones(3, dtype=torch.float64)

    monkeypatch.setattr(reward_scaling, "sum_over_learners", add_up)
    RewardScaler(0.5, device=torch.device("meta")).scale(np.ones(2, np.float32), np.array([0, 2]))
    assert devices == ["meta"]
