"""Starts training from a policy: weights load strictly, and what was loaded is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.errors import PolicyError
from rayrl.models.actor_critic import ActorCritic
from rayrl.models.policy import Policy
from rayrl.models.weights import LoadReport
from rayrl.storage.spaces import Spaces

_VALUE = ("value_encoder.", "value_head.")


def warm_start(algorithm: ColumnarAlgorithm, policy: Policy, *, where: str) -> LoadReport:
    """Gives all learners and env runners the weights of a policy, its normalizer included.

    Learners that are to hold to it keep a copy, the reference.

    Args:
        algorithm: built, and not trained yet.
        policy: of the same spaces and architecture.
        where: what to name in an error, such as the policy's folder.

    Raises:
        PolicyError: spaces or weights do not fit; nothing is changed then.
    """
    module = algorithm.env_runner.module if algorithm.env_runner else None
    if module is not None:
        own = Spaces(module.observation_space, module.action_space)
        if differences := own.differences(Spaces(*policy.spaces)):
            raise PolicyError(
                "the policy was made for other spaces: " + "; ".join(differences),
                where=where,
                remedy="use a policy of the same environment and options",
            )
    given = {name: tensor.numpy(force=True) for name, tensor in policy.network.state_dict().items()}
    valued = algorithm.config.get_default_rl_module_spec().module_class is ActorCritic
    # The policy of an algorithm with critics of its own has no use for a value.
    unused = () if valued else tuple(name for name in given if name.startswith(_VALUE))
    state = {name: value for name, value in given.items() if name not in unused}
    answers = algorithm.learner_group.foreach_learner(
        lambda learner, state=state, where=where: learner.start_from(state, where=where)
    )
    reports: list[LoadReport] = [answer.get() for answer in answers]
    for report in reports:
        if isinstance(report, Exception):
            raise report
    algorithm.sync_weights()
    _check(algorithm, policy, where)
    algorithm.warm_started = True
    return replace(reports[0], unused=unused)


def _check(algorithm: ColumnarAlgorithm, policy: Policy, where: str) -> None:
    """Compares what the workers will act with to what was given: a load that did nothing must not pass."""
    weights = algorithm.weights["rl_module"]
    sent = weights.get("default_policy", weights)
    for name, tensor in policy.network.state_dict().items():
        if (arrived := sent.get(f"network.{name}")) is not None and not np.array_equal(
            arrived, tensor.numpy(force=True)
        ):
            raise PolicyError(f"{name} did not arrive at the workers as it was given", where=where)
