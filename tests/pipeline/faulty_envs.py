"""Environments with a fault. The processes of a trial import this module, so it needs no test's fixtures."""

import resource
from pathlib import Path

import numpy as np
from ray import tune

from tests.algorithms.stateful_env import StatefulCartPole


class FullDisk(StatefulCartPole):
    """The process in which it is built cannot write a checkpoint: files may not grow so large there."""

    def __init__(self):
        super().__init__()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


class Forgetful(StatefulCartPole):
    """An environment with a fault that nothing foresees."""

    def get_state(self):
        raise ZeroDivisionError("cannot say")


class Greedy(StatefulCartPole):
    """Asks for more memory than there is, in the trial of seed 1, until a file says that it is mended."""

    def __init__(self, mended=""):
        super().__init__()
        name = tune.get_context().get_trial_name() or ""
        self._greedy = name.endswith("seed_1") and not Path(mended).exists()

    def step(self, action):
        if self._greedy:
            np.ones(2**50)
        return super().step(action)


class Shaky(StatefulCartPole):
    """Each that is built raises in its fortieth step."""

    def __init__(self):
        super().__init__()
        self._left = 40

    def step(self, action):
        self._left -= 1
        if not self._left:
            raise ConnectionError("the simulator hung up")
        return super().step(action)
