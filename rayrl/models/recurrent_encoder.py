"""Encoders that remember: a gated recurrent unit over the features of each step."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from rayrl.errors import PolicyError
from rayrl.models.fusion_encoder import FusionEncoder
from rayrl.models.model_config import ModelConfig
from rayrl.models.networks import Encoder, JoinedEncoder
from rayrl.models.observations import ObservationLayout
from rayrl.models.packed_graph import Seen
from rayrl.models.sequences import Sequences

_GATES = 3


def encoder_of(layout: ObservationLayout, config: ModelConfig) -> Encoder:
    """The encoder that a configuration asks for."""
    remembers = config.gru_cell_size is not None
    if config.modalities is None:
        return (RecurrentJoinedEncoder if remembers else JoinedEncoder)(layout, config)
    return (RecurrentFusionEncoder if remembers else FusionEncoder)(layout, config)


class RecurrentEncoder(Encoder):
    """The layers of another encoder, and a GRU over what they give (Cho et al. 2014, arXiv:1406.1078).

        r, z = σ(W x + U h + b),  n = tanh(W_n x + b_n + r (U_n h + c_n)),  h' = (1 - z) n + z h

    Each gate's matrices are drawn orthogonal, biases are 0. The recurrence stays in float32 where the rest is
    computed in less: its rounding errors would add up over the steps.
    """

    def __init__(self, layout: ObservationLayout, config: ModelConfig) -> None:
        super().__init__(layout, config)
        assert config.gru_cell_size is not None
        self.gru = nn.GRU(self.output_size, config.gru_cell_size)
        for name, parameter in self.gru.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:
                for gate in parameter.detach().chunk(_GATES):
                    nn.init.orthogonal_(gate)
        self.output_size = self.state_size = config.gru_cell_size

    def forward(
        self, flat: torch.Tensor | None, seen: Seen, sequences: Sequences | None = None
    ) -> torch.Tensor:
        """Features (B, ``output_size``), which are the states after each row.

        Raises:
            PolicyError: it is not told how the rows form sequences.
        """
        if sequences is None:
            raise PolicyError(
                "this network remembers, and was not told what comes after what",
                where="sequences",
                remedy="give the sequences that the rows form, or go step by step",
            )
        features = super().forward(flat, seen)
        if not len(features):
            return features.new_zeros(0, self.output_size)
        with torch.autocast(features.device.type, enabled=False):
            packed = PackedSequence(features.float(), sequences.batch_sizes)
            states: torch.Tensor = self.gru(packed, sequences.state.unsqueeze(0))[0].data
        return states

    def step(self, flat: torch.Tensor | None, seen: Seen, state: torch.Tensor) -> torch.Tensor:
        """The features of one step of B episodes, which are their states (B, S) after it."""
        weights: dict[str, Any] = self.gru._parameters
        features = super().forward(flat, seen)
        return torch.gru_cell(
            features,
            state,
            weights["weight_ih_l0"],
            weights["weight_hh_l0"],
            weights["bias_ih_l0"],
            weights["bias_hh_l0"],
        )


class RecurrentJoinedEncoder(RecurrentEncoder, JoinedEncoder):
    """A GRU over the layers of ``JoinedEncoder``."""


class RecurrentFusionEncoder(RecurrentEncoder, FusionEncoder):
    """A GRU over the layers of ``FusionEncoder``."""
