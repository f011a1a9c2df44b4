"""CartPoles that fail."""

import os
import signal
from pathlib import Path
from typing import Any

from gymnasium.envs.classic_control.cartpole import CartPoleEnv


class DyingCartPole(CartPoleEnv):
    """Kills worker 1 at its ``step``-th step, once: the file ``marker`` says that it has."""

    def __init__(self, context: Any) -> None:
        super().__init__()
        self._left = context["step"] if context.worker_index == 1 else -1
        self._marker = Path(context["marker"])

    def step(self, action: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._marker.exists():
            self._marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


class RaisingCartPole(CartPoleEnv):
    """Raises at every step."""

    def __init__(self, context: Any) -> None:
        super().__init__()

    def step(self, action: Any) -> Any:
        raise RuntimeError("the pole fell off")
