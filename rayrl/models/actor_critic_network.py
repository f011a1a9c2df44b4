"""The actor-critic as a plain PyTorch module: what a policy folder holds and a server runs, without Ray."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium as gym
import torch
from torch import nn

from rayrl.errors import ConfigError, DataError, SpaceError
from rayrl.models.distributions import MASKED_LOGIT, Categorical, MultiCategorical, action_distribution
from rayrl.models.model_config import ModelConfig
from rayrl.models.networks import policy_head, value_head
from rayrl.models.normalizer import Normalizer
from rayrl.models.observations import ACTION_MASK, ObservationLayout
from rayrl.models.packed_graph import PackedGraph, Seen, pack
from rayrl.models.recurrent_encoder import encoder_of
from rayrl.models.sequences import Sequences

Parts = Mapping[str, torch.Tensor]

_LARGEST_EPSILON = 1 - 1e-6


class ActorCriticNetwork(nn.Module):
    """A policy and a value over the parts of an observation.

    The methods take observations as ``{"obs": x}``, or ``{"obs/<key>": x, "obs/<a>/<b>": y}`` of a Dict, each
    (B, ...) and raw, as the environment gave it.

    An action mask, the part ``obs/action_mask`` (B, D), gives actions where it is 0 the probability 0. A row
    that masks every action (of any entry of a MultiDiscrete) is an error on the CPU, where rollouts run;
    elsewhere, where looking would stall the device, it makes those actions equally probable.

    A network that remembers has ``state_size`` numbers for each episode, zeros at its start. It acts step by
    step (``step``), and learns from ``sequences``, which say how the rows lie in time; one that remembers
    nothing takes the same calls, with S = 0, and needs no sequences.

    Args:
        observation_space: a Box, a Discrete, or a Dict of such.
        action_space: Discrete, MultiDiscrete, MultiBinary or a float Box.
        config: options.
        inference_only: leave out the value.

    Attributes:
        distribution: the action distribution whose inputs ``policy`` gives.
        state_size: S, numbers that are remembered of an episode; 0 for none.
        normalizer: running moments of the observations.
        epsilon: float32 (), with ``epsilon_greedy`` how often an action is taken at random.

    Raises:
        ConfigError: options that do not fit the spaces, or a part of text.
        SpaceError: a space that is not supported.
    """

    epsilon: torch.Tensor

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        config: ModelConfig,
        *,
        inference_only: bool = False,
    ) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space
        self.config = config
        self.inference_only = inference_only
        self.distribution = action_distribution(
            action_space,
            squashed=config.squash_actions,
            log_std_clip=config.log_std_clip_param,
            normalize_actions=config.normalize_actions,
            clip_actions=config.clip_actions,
        )
        layout = ObservationLayout(
            observation_space,
            convolutions=config.conv_filters is not None,
            state_only=config.state_only,
            modalities=config.modalities,
        )
        self.layout = layout
        self._maskable = self._check_mask(layout.mask_size)

        self.normalizer = Normalizer(
            layout.shapes, enabled=config.normalize_observations, clip=config.observation_clip
        )
        self.encoder = encoder_of(layout, config)
        self.state_size = self.encoder.state_size
        outputs = self.distribution.input_size
        if config.free_log_std:
            if not isinstance(action_space, gym.spaces.Box):
                raise ConfigError(
                    f"free_log_std = true needs Box actions, not {action_space}",
                    where="model_config",
                    remedy="leave free_log_std out",
                )
            outputs //= 2
            self.log_std = nn.Parameter(torch.zeros(outputs))
        if config.epsilon_greedy:
            if not isinstance(self.distribution, Categorical):
                raise SpaceError(
                    f"actions of {action_space} have no list of values to choose the highest from",
                    where="action space",
                    remedy="epsilon_greedy = true needs Discrete actions",
                )
            self.register_buffer("epsilon", torch.ones(()))
        self.policy_head = policy_head(self.encoder.output_size, outputs, config)
        if not inference_only:
            if not config.vf_share_layers:
                self.value_encoder = encoder_of(layout, config)
            self.value_head = value_head(self.encoder.output_size, config)
        # A plain tuple: looking up a submodule by attribute costs as much as a small layer.
        self._actor = (self.normalizer, self.encoder, self.policy_head)

    def initial_state(self, episodes: int) -> torch.Tensor:
        """(episodes, S) what is remembered where episodes begin."""
        return torch.zeros(episodes, self.state_size, device=next(self.parameters()).device)

    def step(self, parts: Parts, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``policy`` of one step of B episodes, and their states after it.

        Args:
            parts: of the observations.
            state: (B, S) before the step.
        """
        if not self.state_size:
            return self.policy(parts), state
        features = state = self.encoder.step(*self.read(parts), state)
        return self._distribution_inputs(self.policy_head.forward(features), parts), state

    def states(self, parts: Parts, sequences: Sequences | None = None) -> torch.Tensor:
        """(B, S) what is remembered after each row."""
        if not self.state_size:
            return self.initial_state(len(next(iter(parts.values()))))
        return self.encoder.forward(*self.read(parts), sequences)

    def policy(self, parts: Parts, sequences: Sequences | None = None) -> torch.Tensor:
        """Inputs (B, D) of the action distribution."""
        _, encoder, head = self._actor
        features = encoder.forward(*self.read(parts), sequences)
        return self._distribution_inputs(head.forward(features), parts)

    def policy_of(self, flat: torch.Tensor | None, seen: Seen, parts: Parts) -> torch.Tensor:
        """``policy``, of what ``read`` gave of the parts."""
        _, encoder, head = self._actor
        return self._distribution_inputs(head.forward(encoder.forward(flat, seen)), parts)

    def action_values_of(self, flat: torch.Tensor | None, seen: Seen) -> torch.Tensor:
        """Values (B, n) of all Discrete actions, allowed or not, of what ``read`` gave.

        With a value network, the policy's layers give advantages (Wang et al. 2016, arXiv:1511.06581,
        equation 9).
        """
        _, encoder, head = self._actor
        features = encoder.forward(flat, seen)
        advantages = head.forward(features)
        if self.inference_only:
            return advantages
        if not self.config.vf_share_layers:
            features = self.value_encoder.forward(flat, seen)
        # Q(s, a) = V(s) + A(s, a) - mean A(s, ·)
        centred: torch.Tensor = advantages - advantages.mean(dim=-1, keepdim=True)
        return self.value_head.forward(features) + centred

    def value(self, parts: Parts, sequences: Sequences | None = None) -> torch.Tensor:
        """Values (B,)."""
        encoder = self.encoder if self.config.vf_share_layers else self.value_encoder
        return self.value_of(encoder.forward(*self.read(parts), sequences))

    def policy_and_value(
        self, parts: Parts, sequences: Sequences | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``policy`` and ``value``, reading and (where shared) encoding the observation once."""
        inputs, features = self.policy_and_value_features(parts, sequences)
        return inputs, self.value_of(features)

    def policy_and_value_features(
        self, parts: Parts, sequences: Sequences | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``policy``, and the features (B, F) from which ``value_of`` gives the values."""
        flat, seen = self.read(parts)
        features = self.encoder.forward(flat, seen, sequences)
        inputs = self._distribution_inputs(self.policy_head.forward(features), parts)
        if self.config.vf_share_layers:
            return inputs, features
        return inputs, self.value_encoder.forward(flat, seen)

    def actor_parameters(self) -> frozenset[nn.Parameter]:
        """What the policy is computed from, an encoder that it shares with the value among it."""
        value_only = ("value_encoder.", "value_head.")
        return frozenset(x for name, x in self.named_parameters() if not name.startswith(value_only))

    def value_of(self, features: torch.Tensor) -> torch.Tensor:
        """Values (B,) from the value's features (B, F)."""
        return self.value_head.forward(features).squeeze(-1)

    def read(self, parts: Parts) -> tuple[torch.Tensor | None, Seen]:
        """The flat vector (B, F), standardized where it is to be, and images and graphs of observations."""
        layout, normalizer = self.layout, self._actor[0]
        joined = normalizer.forward(parts) if layout.shapes else None
        if layout.joined_only:
            return joined, ()
        seen: list[torch.Tensor | PackedGraph] = [layout.image(name, parts) for name in layout.images]
        seen += [pack(parts, name, graph) for name, graph in layout.graphs.items()]
        return layout.flat(joined, parts), seen

    def _distribution_inputs(self, outputs: torch.Tensor, parts: Parts) -> torch.Tensor:
        if self.config.free_log_std:
            outputs = torch.cat([outputs, self.log_std.expand_as(outputs)], dim=-1)
        if self._maskable is None:
            return self._epsilon_greedy(outputs) if self.config.epsilon_greedy else outputs
        mask = parts[ACTION_MASK] != 0
        if mask.device.type == "cpu" and not self._maskable.leaves_a_choice(mask).all():
            raise DataError("an action mask forbids every action", where=ACTION_MASK)
        masked = outputs.float().where(mask, MASKED_LOGIT)
        return self._epsilon_greedy(masked, mask) if self.config.epsilon_greedy else masked

    def _epsilon_greedy(self, values: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (B, n) of the distribution that takes the highest value, and at times any action."""
        # Below 1, so that the mode is the highest value's action even where all are as likely.
        epsilon: torch.Tensor = self._buffers["epsilon"].clamp(max=_LARGEST_EPSILON)  # type: ignore[union-attr]
        if mask is None:
            share = (epsilon / values.shape[-1]).expand_as(values)
        else:
            share = mask * (epsilon / mask.sum(dim=-1, keepdim=True))
        # log π(a|s) = log((1 - ε) [a = argmax Q] + ε / n)
        best = values.argmax(dim=-1, keepdim=True)
        likely = share.scatter_add(-1, best, (1 - epsilon).expand(best.shape))
        return likely.log().clamp(min=MASKED_LOGIT)

    def _check_mask(self, size: int | None) -> Categorical | MultiCategorical | None:
        """The distribution that takes a mask of ``size`` elements, None where there is no mask."""
        distribution = self.distribution
        if size is None:
            return None
        if not isinstance(distribution, Categorical | MultiCategorical):
            raise SpaceError(
                f"actions of {distribution.space} cannot be masked",
                where=ACTION_MASK,
                remedy="masks go with Discrete and MultiDiscrete actions",
            )
        if size != distribution.input_size:
            raise SpaceError(
                f"the mask has {size} elements, {distribution.space} has {distribution.input_size} actions",
                where=ACTION_MASK,
                remedy="one element for each action, those of a MultiDiscrete in a row",
            )
        return distribution
