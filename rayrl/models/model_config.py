"""Options of the actor-critic: the keys of RLlib's ``model_config`` that are honoured, and rayrl's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
import torch

from rayrl.config.base import Config
from rayrl.errors import ConfigError
from rayrl.models.conv_filter import ConvFilterField
from rayrl.models.encoder_options import FusionOptions, GraphOptions, Modality, StateOptions, VisualOptions
from rayrl.models.sizes import LayerSize

Activation = Literal["tanh", "relu", "silu", "elu", "linear"]


def _activation(value: Any) -> Any:
    if value is None:
        return "linear"
    name = value.lower() if isinstance(value, str) else value
    return "silu" if name == "swish" else name


def _initializer(value: Any) -> Any:
    if value is None or (
        isinstance(value, str)
        and value.endswith("_")
        and not value.startswith("_")
        and callable(getattr(torch.nn.init, value, None))
    ):
        return value
    raise ValueError("must be the name of an in-place function of torch.nn.init, such as 'orthogonal_'")


ActivationField = Annotated[Activation, pydantic.BeforeValidator(_activation)]
InitializerField = Annotated[str | None, pydantic.BeforeValidator(_initializer)]


class ModelConfig(Config):
    """Options of ``ActorCriticNetwork``.

    Names and meanings are those of RLlib's ``DefaultModelConfig``, with these differences. Where no
    initializer is given, weights are orthogonal, with gain √2 in hidden layers, 0.01 in the policy's and 1 in
    the value's output layer, and biases are 0 (Engstrom et al. 2020, arXiv:2005.12729; Andrychowicz et al.
    2021, arXiv:2006.05990). Policy and value share no layers unless asked. Initializers are names, so that a
    policy folder can hold them. Images without ``conv_filters`` are flattened; with them, what the
    convolutions give is joined with the other parts and goes through the layers of ``fcnet_hiddens``.
    """

    model_config = pydantic.ConfigDict(ser_json_inf_nan="strings")

    fcnet_hiddens: tuple[LayerSize, ...] = (256, 256)
    """Sizes of the hidden layers."""
    fcnet_activation: ActivationField = "tanh"
    """Activation of the hidden layers; `swish` is read as `silu`."""
    fcnet_kernel_initializer: InitializerField = None
    """In-place function of `torch.nn.init` for weights, such as `orthogonal_`; null for the default above."""
    fcnet_kernel_initializer_kwargs: dict[str, Any] | None = None
    """Its keyword arguments. The other initializers are given alike."""
    fcnet_bias_initializer: InitializerField = None
    """The same for biases."""
    fcnet_bias_initializer_kwargs: dict[str, Any] | None = None
    fcnet_use_layernorm: bool = False
    """Normalizes the output of each hidden layer before its activation."""

    conv_filters: tuple[ConvFilterField, ...] | None = None
    """One for each convolution over a Box of shape (height, width, channels); `same` or `valid` may follow
    the stride. Null flattens images."""
    conv_activation: ActivationField = "relu"
    """Activation of the convolutions."""
    conv_kernel_initializer: InitializerField = None
    conv_kernel_initializer_kwargs: dict[str, Any] | None = None
    conv_bias_initializer: InitializerField = None
    conv_bias_initializer_kwargs: dict[str, Any] | None = None

    state_only: bool = False
    """Of a Dict that has other parts, images (without `conv_filters`) and graphs are left out."""
    modalities: dict[str, Modality] | None = None
    """Which parts of a Dict are read, and as what: each key an `image` (height, width, channels), a `graph`
    (a Dict of arrays) or a `vector`; a part of a Dict within is `key/key`. Other parts are left out. Null
    reads all, by the layers of `conv_filters` and `fcnet_hiddens`."""
    graph: GraphOptions = GraphOptions()
    visual: VisualOptions = VisualOptions()
    state: StateOptions = StateOptions()
    fusion: FusionOptions = FusionOptions()
    features_dim: LayerSize = 256
    """With `modalities`: numbers that the fused tokens are brought to, which policy and value see."""

    gru_cell_size: LayerSize | None = None
    """Units of a gated recurrent unit (GRU) between the hidden layers and the heads: the policy remembers.
    Policy and value share it, so it needs `vf_share_layers`; null for none."""
    max_seq_len: pydantic.PositiveInt = 20
    """With a GRU: steps of a sequence, back through which gradients flow; episodes are cut into such."""
    burn_in: pydantic.NonNegativeInt = 0
    """With a GRU: steps before a sequence that bring its memory up to date, and that nothing is learned from
    (Kapturowski et al. 2019, "Recurrent Experience Replay in Distributed Reinforcement Learning")."""

    head_fcnet_hiddens: tuple[LayerSize, ...] = ()
    """Sizes of hidden layers that policy and value have to themselves."""
    head_fcnet_activation: ActivationField = "relu"
    """Activation of the layers that policy and value have to themselves."""
    head_fcnet_kernel_initializer: InitializerField = None
    head_fcnet_kernel_initializer_kwargs: dict[str, Any] | None = None
    head_fcnet_bias_initializer: InitializerField = None
    head_fcnet_bias_initializer_kwargs: dict[str, Any] | None = None
    head_fcnet_use_layernorm: bool = False

    free_log_std: bool = False
    """log σ of a Box action is a parameter of its own, not a function of the observation."""
    log_std_clip_param: pydantic.PositiveFloat = 20.0
    """Bound on the absolute value of log σ."""
    vf_share_layers: bool = False
    """The value has no encoder of its own."""

    squash_actions: bool = False
    """Box actions are the tanh of a Gaussian."""
    epsilon_greedy: bool = False
    """What the policy's layers give are values of Discrete actions: the policy takes the highest one's, and
    with the probability of the buffer `epsilon` any."""
    normalize_actions: bool = True
    """`AlgorithmConfig.normalize_actions`; kept with the policy."""
    clip_actions: bool = False
    """`AlgorithmConfig.clip_actions`; kept with the policy."""
    normalize_observations: bool = False
    """Standardizes float observations by running moments."""
    observation_clip: pydantic.PositiveFloat = 10.0
    """Bound on the absolute value of a standardized observation."""

    @pydantic.model_validator(mode="after")
    def _a_memory_fits(self) -> Self:
        if self.gru_cell_size is None:
            for name in ("max_seq_len", "burn_in"):
                if (value := getattr(self, name)) != ModelConfig.model_fields[name].default:
                    raise ValueError(f"{name} = {value} has no effect without gru_cell_size")
        elif not self.vf_share_layers:
            raise ValueError(
                f"gru_cell_size = {self.gru_cell_size} needs vf_share_layers = true: policy and value have "
                "one memory"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _encoders_fit(self) -> Self:
        several = self.modalities is not None
        if several and not self.modalities:
            raise ValueError("modalities = {} reads nothing; name the parts to read, or leave it out")
        for name in _OF_ONE_STACK if several else _OF_MODALITIES:
            if (value := getattr(self, name)) != ModelConfig.model_fields[name].default:
                shown = value.model_dump(mode="json") if isinstance(value, Config) else value
                raise ValueError(f"{name} = {shown} has no effect with{'' if several else 'out'} modalities")
        return self

    def without_modalities(self, algorithm: str) -> Self:
        """The same options, for an algorithm whose critics read no more than vectors and images.

        Raises:
            ConfigError: they ask for modalities.
        """
        if self.modalities is not None:
            raise ConfigError(
                f"modalities = {self.modalities}: the critics of {algorithm} read vectors, and images by "
                "conv_filters",
                where="model_config",
                remedy="train it with ppo or dqn, or choose an architecture without modalities, such as "
                "mlp_baseline",
            )
        return self

    def without_memory(self, algorithm: str) -> Self:
        """The same options, for an algorithm that learns from single steps.

        Raises:
            ConfigError: they ask for a memory.
        """
        if self.gru_cell_size is not None:
            raise ConfigError(
                f"gru_cell_size = {self.gru_cell_size}: {algorithm} learns from single steps, and cannot "
                "teach a network to remember",
                where="model_config",
                remedy="train it with ppo, or choose an architecture without a GRU, such as mlp_baseline",
            )
        return self

    @classmethod
    def from_rllib(cls, model_config: Mapping[str, Any]) -> Self:
        """Reads RLlib's ``model_config``, as a dict or as ``dataclasses.asdict(DefaultModelConfig())``.

        Raises:
            ConfigError: a key is unknown, has a wrong value, or is one of RLlib's that these networks do not
                support and is not at its default.
        """
        for key, default in UNSUPPORTED.items():
            if key in model_config and model_config[key] != default:
                raise ConfigError(
                    f"{key} = {model_config[key]!r} is not supported",
                    where="model_config",
                    remedy=f"leave {key} out, or at its default {default!r}",
                )
        values = {key: value for key, value in model_config.items() if key not in UNSUPPORTED}
        return cls.parse(values, where="model_config")


_OF_MODALITIES = ("graph", "visual", "state", "fusion", "features_dim")
"""Options of networks that read several modalities."""
_OF_ONE_STACK = ("fcnet_hiddens", "conv_filters", "state_only")
"""Options of networks that do not."""

UNSUPPORTED: dict[str, Any] = {
    "use_lstm": False,
    "lstm_cell_size": 256,
    "lstm_use_prev_action": False,
    "lstm_use_prev_reward": False,
    "lstm_kernel_initializer": None,
    "lstm_kernel_initializer_kwargs": None,
    "lstm_bias_initializer": None,
    "lstm_bias_initializer_kwargs": None,
    "fusionnet_hiddens": [256, 256],
    "fusionnet_activation": "tanh",
    "fusionnet_kernel_initializer": None,
    "fusionnet_kernel_initializer_kwargs": None,
    "fusionnet_bias_initializer": None,
    "fusionnet_bias_initializer_kwargs": None,
}
"""Keys of RLlib's ``DefaultModelConfig`` that have no meaning here, with RLlib's defaults."""
