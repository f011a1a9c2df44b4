"""PPO: what comes before the first update, and what follows from each one.

first iteration   stabilize: statistics ◀── steps of random or demonstrators' actions
each iteration    sample at T ─▶ update ─▶ signals, KL ─▶ T of the next one, warnings, perhaps the end
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import LEARNER_RESULTS

from rayrl.algorithms.actors import Order, observe_learners
from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.algorithms.experience_data import ExperienceData
from rayrl.algorithms.ppo.kl_watch import KLWatch
from rayrl.algorithms.ppo.temperature import TemperatureController
from rayrl.errors import TrainingError
from rayrl.experience.columns import TEMPERATURE
from rayrl.rollout.receipt import Receipt
from rayrl.rollout.signals import mean_signals

if TYPE_CHECKING:
    from rayrl.algorithms.ppo.config import PPOConfig

STABILIZATION_STEPS = "stabilization_steps"
STEERING = "steering"
"""Key of this class's own part of the state."""

_log = logging.getLogger(__name__)


class PPO(ColumnarAlgorithm):
    """Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347)."""

    @classmethod
    def get_default_config(cls) -> PPOConfig:
        """The default options."""
        from rayrl.algorithms.ppo.config import PPOConfig

        return PPOConfig()

    def setup(self, config: Any) -> None:
        """Builds workers and learners."""
        self._temperature: TemperatureController | None = None
        self._signals: dict[str, float] = {}
        self._stabilized = 0
        super().setup(config)
        self._watch = KLWatch(self.config.target_kl)
        if self.config.temperature is not None:
            self._temperature = TemperatureController(self.config.temperature)
            self.sync_weights()

    @property
    def warnings(self) -> list[str]:
        """What should not have happened so far, a sentence each with the option to change."""
        return [*super().warnings, *self._watch.warnings]

    def training_step(self) -> None:
        """Collects one train batch, and learns from it; before the first one, statistics are fed."""
        self._stabilize()
        super().training_step()

    def orders(self) -> dict[str, Any]:
        """What workers are sent: the weights, and the temperature where it is controlled."""
        orders = super().orders()
        return orders if self._temperature is None else {**orders, TEMPERATURE: self._temperature.current}

    def log_receipts(self, receipts: Sequence[Receipt]) -> None:
        """Logs what an iteration's workers told, and at which temperature."""
        super().log_receipts(receipts)
        self._signals = mean_signals([receipt.signals for receipt in receipts])
        if self._temperature is not None:
            # As it was when these samples were drawn.
            self.metrics.log_dict(self._temperature.metrics(), key=TEMPERATURE, window=1)
        if self.config.stabilization is not None:
            self.metrics.log_value(STABILIZATION_STEPS, self._stabilized, window=1)

    def _update(self, parts: list[Any]) -> None:
        super()._update(parts)
        keys = ["mean_kl_loss", *(["kl_ref"] if self.config.kl_ref is not None else [])]
        results = {key: self.metrics.peek((LEARNER_RESULTS, DEFAULT_MODULE_ID, key)) for key in keys}
        self._watch.look(self.env_steps, results)
        if self.config.target_kl_action == "stop_training" and self.config.target_kl is not None:
            self._end_beyond(results["mean_kl_loss"])
        if self._temperature is not None:
            episode_return = self._episodes.metrics()["episode_return_mean"]
            self._temperature.update(self._signals, episode_return)
            missing = self._temperature.missing
            if missing and not math.isnan(episode_return):
                raise TrainingError(
                    f"the environment has told nothing called {' or '.join(missing)} by an episode's end",
                    where="temperature.signals",
                    remedy="name keys of its info, give it a method signals(), or leave out what it has not "
                    "({} for none)",
                )

    def _end_beyond(self, kl: float) -> None:
        beyond = self.metrics.peek((LEARNER_RESULTS, DEFAULT_MODULE_ID, "beyond_target_kl"))
        if beyond and self.stop_reason is None:
            self.stop_reason = (
                f"the policy moved {kl:.3g} nats from the one that collected, and target_kl is "
                f"{self.config.target_kl:g} with target_kl_action: stop_training"
            )
            _log.warning("training ends at step %d: %s", self.env_steps, self.stop_reason)

    def _stabilize(self) -> None:
        """Feeds the running statistics; once in a trial's life, before anything is learned."""
        options = self.config.stabilization
        if options is None or self.env_steps or self._stabilized >= options.steps:
            return
        assert self.workers is not None
        while (left := options.steps - self._stabilized) > 0:
            steps = min(left, self.config.total_train_batch_size)
            samples = self.workers.sample(Order(self.weights, steps, options.policy))
            data = ExperienceData(parts=[sample.part for sample in samples])
            observe_learners(self.learner_group, data, self.config.learner_timeout_s)
            self._stabilized += sum(sample.receipt.num_steps for sample in samples)
        # Episodes that others began are not the policy's.
        self.workers.begin_episodes()
        self.sync_weights()
        _log.info("%d steps of %s have fed the running statistics", self._stabilized, options.policy)

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Everything that the next iteration depends on, every worker's part included."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        state[STEERING] = {
            STABILIZATION_STEPS: self._stabilized,
            "stop_reason": self.stop_reason,
            "watch": self._watch.get_state(),
            TEMPERATURE: None if self._temperature is None else self._temperature.get_state(),
        }
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back, or forward, to a saved state."""
        if STEERING in state:
            own = state[STEERING]
            self._stabilized, self.stop_reason = own[STABILIZATION_STEPS], own["stop_reason"]
            self._watch.set_state(own["watch"])
            if self._temperature is not None and own[TEMPERATURE] is not None:
                self._temperature.set_state(own[TEMPERATURE])
        super().set_state(state)
