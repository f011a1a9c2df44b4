"""OffPolicyAlgorithm: sampling and learning from replay in lockstep.

| loop   | consumes                         | waits for       | unblocked by                       |
|--------|----------------------------------|-----------------|------------------------------------|
| sample | weights of the last round        | RolloutWorkers  | receipts that make up a round      |
| learn  | draws from replay as of the last round | all learners | TD errors, or a time limit      |

Round i draws from what was added up to round i-1, and its workers act with the weights of round i-1; so they
sample while the learners learn, and the same seeds give the same run all the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ray.rllib.utils.metrics import (
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)

from rayrl.algorithms.actors import Order, make_steps, report_steps
from rayrl.algorithms.algorithm import REPLAY_SECONDS, SAMPLING_SECONDS, UPDATE_SECONDS, ColumnarAlgorithm
from rayrl.algorithms.offpolicy.pace import Pace
from rayrl.algorithms.replay.experience_replay import Draws
from rayrl.rollout.env_runner import RANDOM
from rayrl.rollout.receipt import Receipt

_PACE = "pace"


@dataclass(slots=True)
class Seconds:
    """What the rounds of an iteration took; sampling and learning overlap where workers are remote."""

    sampling: float = 0.0
    learning: float = 0.0
    replay: float = 0.0
    weights: float = 0.0

    def metrics(self) -> dict[str, float]:
        """By rayrl's and by RLlib's names."""
        return {
            SAMPLING_SECONDS: self.sampling,
            UPDATE_SECONDS: self.learning,
            REPLAY_SECONDS: self.replay,
            ENV_RUNNER_SAMPLING_TIMER: self.sampling,
            LEARNER_UPDATE_TIMER: self.learning,
            SYNCH_WORKER_WEIGHTS_TIMER: self.weights,
        }


class OffPolicyAlgorithm(ColumnarAlgorithm):
    """Base of the algorithms that learn from replay.

    Attributes:
        pace: how many gradient steps there are to make.
    """

    def setup(self, config: Any) -> None:
        """Builds workers, learners and the replay buffer."""
        super().setup(config)
        config = self.config
        self.pace = Pace(
            config.gradient_steps_per_env_step,
            config.num_steps_sampled_before_learning_starts,
            config.max_gradient_steps_per_round,
        )
        self._draws = Draws(
            config.train_batch_size_per_learner, max(1, config.num_learners), config.n_step, config.gamma
        )

    def training_step(self) -> None:
        """An iteration of several rounds, whose metrics are logged once."""
        receipts: list[Receipt] = []
        made = self.pace.steps
        self._seconds = Seconds()
        for _ in range(self.config.steps_per_iteration // self.config.steps_per_round):
            receipts += self._round()
        self.log_receipts(receipts)
        if self.pace.steps > made:
            self.metrics.aggregate(
                report_steps(self.learner_group, self.config.learner_timeout_s), key=LEARNER_RESULTS
            )
        self.metrics.log_dict(self._seconds.metrics(), key=TIMERS, window=1)

    def _round(self) -> list[Receipt]:
        """Collects some steps, and meanwhile learns from those before."""
        assert self.workers is not None
        assert self.replay is not None
        config = self.config
        # A buffer that a checkpoint did not hold begins empty.
        due = self.pace.next_round(self.env_steps, possible=self.replay.filled)
        warming_up = self.env_steps < config.num_steps_sampled_before_learning_starts
        acting = RANDOM if warming_up and not self.warm_started else None
        order = Order(self.weights, config.steps_per_round, acting, self.env_steps)
        started = time.perf_counter()
        data = self.replay.draw(due, self._draws) if len(due) else None
        begun = time.perf_counter()
        answers = self.workers.begin(order)
        ratings = []
        if data is not None:
            timesteps = {NUM_ENV_STEPS_SAMPLED_LIFETIME: self.env_steps}
            ratings = make_steps(self.learner_group, data, timesteps, config.learner_timeout_s)
        learned = time.perf_counter()
        samples = self.workers.finish(order, answers)
        sampled = time.perf_counter()
        self.env_steps += sum(sample.receipt.num_steps for sample in samples)
        self.replay.add(samples)
        if self.replay.prioritized:
            self.replay.rate(ratings)
        added = time.perf_counter()
        if data is not None:
            self.sync_weights()
        seconds = self._seconds
        seconds.replay += begun - started + added - sampled
        seconds.learning += learned - begun
        # Of workers that sample while the learners learn, what is still to be waited for.
        seconds.sampling += sampled - learned
        seconds.weights += time.perf_counter() - added
        return [sample.receipt for sample in samples]

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Everything that the next iteration depends on."""
        return super().get_state(*args, **kwargs) | {_PACE: self.pace.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back, or forward, to a saved state."""
        super().set_state(state)
        if _PACE in state:
            self.pace.set_state(state[_PACE])
