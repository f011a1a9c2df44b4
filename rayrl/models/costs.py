"""What acting costs: numbers that a policy consists of, and floating point operations of one observation."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from torch.utils.flop_counter import FlopCounterMode

from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.fusion_encoder import FusionEncoder
from rayrl.models.observations import OBS
from rayrl.storage.spaces import leaf_spaces


def acting_parameters(network: ActorCriticNetwork) -> int:
    """Number of scalars that the policy is computed from; what only the value has is left out."""
    return sum(parameter.numel() for parameter in network.actor_parameters())


def flops(network: ActorCriticNetwork) -> int:
    """Floating point operations of acting on one observation, the largest that the space has room for.

    A product of matrices or a convolution counts 2 for each multiplication and addition
    (``torch.utils.flop_counter``); what goes along the edges of a graph counts as its layers say
    (``GraphLayer.message_flops``). Activations, normalizations and softmaxes are left out: where layers have
    d numbers, they are of the order of 1/d of the rest.
    """
    parts, encoder = _largest(network), network.encoder
    product: Any = torch.ops.aten
    count = FlopCounterMode(display=False, custom_mapping={product.addmm: _addmm, product.mm: _mm})
    with torch.no_grad(), count:
        network.step(parts, network.initial_state(1))
    along = 0
    if isinstance(encoder, FusionEncoder):
        graphs = zip(encoder.graph_encoders, network.layout.graphs.values(), strict=True)
        along = sum(graph.message_flops(space.nodes, space.edges) for graph, space in graphs)
    return int(count.get_total_flops()) + along


def _mm(a: torch.Tensor, b: torch.Tensor, *args: Any, **kwargs: Any) -> int:
    # A sparse matrix stands for the edges of a graph, which its layers count.
    return 0 if a.layout != torch.strided else 2 * a.shape[0] * a.shape[1] * b.shape[1]


def _addmm(bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *args: Any, **kwargs: Any) -> int:
    return _mm(a, b)


for _formula in (_mm, _addmm):
    # so that the counter hands over the tensors, and not their shapes alone
    _formula._get_raw = True  # type: ignore[union-attr]


def _largest(network: ActorCriticNetwork) -> dict[str, torch.Tensor]:
    """One observation in parts: masks leave nothing out, and all else is as low as it may be, or 0."""
    device, parts = next(network.parameters()).device, {}
    for name, space in leaf_spaces(network.observation_space, OBS).items():
        if isinstance(space, gym.spaces.Discrete):
            parts[name] = torch.full((1,), int(space.start), device=device)
        elif isinstance(space, gym.spaces.Box):
            dtype = getattr(torch, space.dtype.name)
            value = 1 if name.endswith(("_mask", "/focus")) else 0
            parts[name] = torch.full((1, *space.shape), value, dtype=dtype, device=device)
    return parts
