"""What a receipt says of its batch."""

import gymnasium as gym
import numpy as np

from rayrl.rollout.receipt import MOST_COUNTED, count_actions


def test_discrete_actions_are_counted_from_the_start_of_the_space():
    counts = count_actions(gym.spaces.Discrete(4, start=-1), np.array([-1, 2, 2, 0]))
    assert counts.tolist() == [1, 1, 0, 2]


def test_other_actions_are_not_counted():
    assert count_actions(gym.spaces.Box(-1, 1, (2,)), np.zeros((3, 2), np.float32)) is None
    assert count_actions(gym.spaces.Discrete(MOST_COUNTED + 1), np.zeros(3, np.int64)) is None
