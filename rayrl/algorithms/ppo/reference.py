"""The frozen policy that a trial is held to; learners have it, and nobody else."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rayrl.algorithms.ppo.kl import Coefficient, kl_loss, kl_values
from rayrl.algorithms.ppo.options import ReferenceKL
from rayrl.algorithms.ppo.reference_memory import ReferenceMemory
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.distributions import ActionDistribution
from rayrl.models.observed import Observed
from rayrl.models.sequences import evaluate_rows
from rayrl.models.weights import load_weights

REFERENCE_INPUTS = "reference_inputs"
"""Column of the reference's distribution inputs, computed once an update."""

Columns = dict[str, Tensor]


class ReferencePolicy:
    """π_ref: the actor of a network as it is now, with its own normalizer.

    Args:
        network: of which a copy is made; raw observations go in, as into the network.
    """

    def __init__(self, network: ActorCriticNetwork) -> None:
        device = next(network.parameters()).device
        # Drawing weights that are about to be replaced must not move the learner's random numbers.
        with torch.random.fork_rng(devices=[]):
            copy = ActorCriticNetwork(
                network.observation_space, network.action_space, network.config, inference_only=True
            )
        self._network = copy.to(device).eval().requires_grad_(False)
        self._memory = ReferenceMemory(self._network)
        whole = network.state_dict()
        load_weights(copy, {name: whole[name] for name in copy.state_dict()}, where="reference policy")

    def inputs(self, observed: Observed, batch: TrajectoryBatch) -> Tensor:
        """Inputs (rows, D) of the action distribution, in float32; every learner must call it.

        Args:
            observed: the observations of all rows.
            batch: the trajectories that the rows are of.
        """
        states = self._memory.states(batch, observed)
        return evaluate_rows(self._network.policy, observed, batch.offsets, states)

    def get_state(self) -> dict[str, Any]:
        """The weights and the normalizer, by name, and what is remembered of open episodes."""
        weights = {name: np.array(x.numpy(force=True)) for name, x in self._network.state_dict().items()}
        return {"weights": weights, "memory": self._memory.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``get_state`` gave."""
        load_weights(self._network, state["weights"], where="reference policy")
        self._memory.set_state(state["memory"])


class Anchor:
    """β KL(π ‖ π_ref), in the loss or in the reward; always at temperature 1.

    Args:
        options: the penalty's.
        distribution: of both policies' actions.

    Attributes:
        coefficient: β.
        reference: π_ref; None before the trial has started from a policy.
    """

    def __init__(self, options: ReferenceKL, distribution: ActionDistribution) -> None:
        self.coefficient = Coefficient(options)
        self.reference: ReferencePolicy | None = None
        self._options = options
        self._distribution = distribution

    def reward_penalty(self, acted: Columns, reference_inputs: Tensor) -> np.ndarray[Any, Any] | None:
        """β KL of each row ``(rows,)``, of the policy as it collected, to be taken from the rewards.

        None where it is the loss that is added to.
        """
        options = self._options
        if options.added_to == "loss":
            return None
        inputs = acted[c.ACTION_DIST_INPUTS]
        if options.estimator == "exact":
            kl = self._distribution.kl(inputs, reference_inputs)
        else:
            logp, reference = (
                self._distribution.logp(x, acted[c.ACTIONS]) for x in (inputs, reference_inputs)
            )
            kl = kl_values(options.estimator, logp - reference)
        penalty: np.ndarray[Any, Any] = (self.coefficient.value * kl).cpu().numpy()
        return penalty

    def loss(self, inputs: Tensor, minibatch: Columns) -> tuple[Tensor, Tensor | None]:
        """Sums over rows of the exact divergence, without gradient, and of what is added to the loss.

        Args:
            inputs: ``(rows, D)`` of the policy.
            minibatch: with the reference's inputs, actions and their log-probabilities as they were drawn.
        """
        options, distribution = self._options, self._distribution
        reference = minibatch[REFERENCE_INPUTS]
        if options.added_to == "reward" or self.coefficient.value == 0:
            with torch.no_grad():
                return distribution.kl(inputs, reference).sum(), None
        if options.estimator == "exact":
            kl = distribution.kl(inputs, reference).sum()
            return kl.detach(), self.coefficient.value * kl
        with torch.no_grad():
            exact = distribution.kl(inputs, reference).sum()
            reference_logp = distribution.logp(reference, minibatch[c.ACTIONS])
        logp = distribution.logp(inputs, minibatch[c.ACTIONS])
        weights = torch.exp(logp.detach() - minibatch[c.ACTION_LOGP])
        estimate = kl_loss(options.estimator, logp - reference_logp, weights).sum()
        return exact, self.coefficient.value * estimate

    def get_state(self) -> dict[str, Any]:
        """β, and the reference's weights where there are any."""
        reference = None if self.reference is None else self.reference.get_state()
        return {"coefficient": self.coefficient.get_state(), "reference": reference}

    def set_state(self, state: dict[str, Any], network: ActorCriticNetwork) -> None:
        """Takes over what ``get_state`` gave; ``network`` has the reference's form."""
        self.coefficient.set_state(state["coefficient"])
        self.reference = None
        if state["reference"] is not None:
            self.reference = ReferencePolicy(network)
            self.reference.set_state(state["reference"])
