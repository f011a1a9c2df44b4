"""Evaluations of a trial while it trains: one line each in ``evaluations.jsonl``, of the same episodes.

They take the most likely actions, and draw nothing from what training draws from: with and without them a
trial learns the same.
"""

from __future__ import annotations

from typing import Any

import torch

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.evaluation.evaluator import MAX_SLOTS, evaluate
from rayrl.evaluation.result import EvaluationResult
from rayrl.models.policy import Policy
from rayrl.models.weights import LoadReport
from rayrl.pipeline.experiment import Experiment

EVALUATIONS_FILE = "evaluations.jsonl"


class TrialEvaluations:
    """When a trial is evaluated, and how.

    Args:
        experiment: whose ``train.evaluate_every`` and ``train.evaluate_episodes`` say when and how much, and
            whose ``evaluate`` says which episodes.
        architecture: that of the trial.
    """

    def __init__(self, experiment: Experiment, architecture: str) -> None:
        self._every = experiment.train.evaluate_every
        self._episodes = experiment.train.evaluate_episodes
        self._options = experiment.evaluate
        self._env = experiment.env
        self._architecture = architecture

    def due(self, before: int, step: int) -> bool:
        """Whether an evaluation falls into the iteration that led from ``before`` to ``step``.

        Args:
            before: environment steps at its beginning; -1 asks for the evaluation before training.
            step: environment steps at its end.
        """
        return self._every is not None and before // self._every < step // self._every

    def line(self, algorithm: ColumnarAlgorithm) -> dict[str, Any]:
        """Evaluates the policy as the learners have it.

        Returns:
            ``step``, ``seeds`` and ``metrics`` as in ``eval_results.json``.

        Raises:
            EnvError: the environment raised.
        """
        result = self._evaluate(algorithm)
        return {"step": algorithm.env_steps, "seeds": list(result.seeds), "metrics": result.metrics}

    def _evaluate(self, algorithm: ColumnarAlgorithm) -> EvaluationResult:
        # The weights that the network begins with are drawn, and replaced.
        with torch.random.fork_rng(devices=[]):
            network = algorithm.learner_module().network
        loaded = LoadReport(loaded=tuple(network.state_dict()), missing=(), unexpected=(), mismatched=())
        return evaluate(
            Policy(network, architecture=self._architecture, provenance={}, report=loaded),
            self._env,
            episodes=self._episodes,
            seed=self._options.seed,
            # What is most likely does not depend on how many play side by side.
            num_envs=min(self._episodes, 2 * MAX_SLOTS),
            max_steps=self._options.max_steps,
            env_config=self._options.env_config,
        )
