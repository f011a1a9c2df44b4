"""Named network configurations, which experiments compare.

A package adds its own by entry points of the group ``rayrl.architectures``, each ``module:ModelConfigClass``,
which every process finds where the package is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pydantic
from torch import nn

from rayrl.config.base import Config, nearest
from rayrl.errors import ConfigError
from rayrl.models.encoder_options import FusionOptions, GraphOptions, Modality, StateOptions, VisualOptions
from rayrl.models.model_config import ActivationField, ModelConfig
from rayrl.models.sizes import LayerSize

_GROUP = "rayrl.architectures"
_ARCHITECTURES: dict[str, type[ModelConfig]] = {}
_SECTIONS: dict[str, Modality] = {"graph": "graph", "visual": "image", "state": "vector"}
"""By section of options, what it is about."""


def register_architecture(name: str, config: type[ModelConfig]) -> None:
    """Makes an architecture known by name; the defaults of ``config`` are what the name stands for.

    Raises:
        ConfigError: the name is taken by another configuration.
    """
    if _ARCHITECTURES.get(name, config) is not config:
        raise ConfigError(
            f"the architecture {name!r} is already {_ARCHITECTURES[name].__name__}",
            where="architectures",
            remedy="register under another name",
        )
    _ARCHITECTURES[name] = config


def architecture(name: str) -> type[ModelConfig]:
    """The configuration class of a registered architecture.

    Raises:
        ConfigError: there is no such architecture, or its package's entry point is wrong.
    """
    if name not in _ARCHITECTURES:
        for installed in entry_points(group=_GROUP, name=name):
            register_architecture(name, _load(installed))
    if name not in _ARCHITECTURES:
        known, hint = f"known: {', '.join(names())}", nearest(name, names())
        raise ConfigError(
            f"there is no architecture {name!r}",
            where="architectures",
            remedy=hint if hint == known else f"{hint} {known}",
        )
    return _ARCHITECTURES[name]


def names() -> list[str]:
    """The registered architectures, and those of installed packages, sorted."""
    return sorted({*_ARCHITECTURES, *entry_points(group=_GROUP).names})


def _load(installed: EntryPoint) -> type[ModelConfig]:
    where = f"entry point {installed.name} = {installed.value}"
    try:
        found = installed.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot be loaded: {error}", where=where) from error
    if not (isinstance(found, type) and issubclass(found, ModelConfig)):
        raise ConfigError(f"{found!r} is no subclass of ModelConfig", where=where)
    return found


def model_config(name: str, *options: Mapping[str, Any] | None) -> dict[str, Any]:
    """An architecture's ``model_config`` as plain values, with some of its options replaced.

    Args:
        name: the architecture.
        options: what replaces its options, the last first; of a section, only what is given is replaced.

    Raises:
        ConfigError: there is no such architecture, or an option is unknown or wrong, or has no effect.
    """
    kind = architecture(name)
    values = kind().model_dump()
    for each in options:
        if not isinstance(each, Mapping | None):
            raise ConfigError(
                f"model_config = {each!r}", where=f"architecture {name}", remedy="give a mapping"
            )
        values = _replaced(values, each or {}, kind)
    made = kind.from_rllib(values)
    _check_effect(made, kind())
    return made.model_dump()


def _check_effect(made: ModelConfig, of_architecture: ModelConfig) -> None:
    """Refuses sections that read what the network does not.

    Args:
        made: the options.
        of_architecture: those that the architecture has by itself, which may stay as they are.
    """
    if made.modalities is None:
        return  # ``ModelConfig`` refuses them all
    changed = [name for name in _SECTIONS if getattr(made, name) != getattr(of_architecture, name)]
    for name in changed:
        if _SECTIONS[name] not in made.modalities.values():
            raise ConfigError(
                f"{name} = {getattr(made, name).model_dump(mode='json')} has no effect: nothing is read as "
                f"{_SECTIONS[name]}",
                where="model_config",
                remedy=f"leave {name} out, or name such a part in modalities",
            )
    if made.fusion.kind == "concat" and made.fusion.width != of_architecture.fusion.width:
        raise ConfigError(
            f"fusion.width = {made.fusion.width} has no effect with kind = concat",
            where="model_config",
            remedy="leave it out, or choose another kind of fusion",
        )


def _replaced(
    values: Mapping[str, Any], options: Mapping[str, Any], kind: type[ModelConfig]
) -> dict[str, Any]:
    """Options of which some are replaced; of a section, only what is given."""
    replaced = dict(values)
    for name, value in options.items():
        is_section = isinstance(kind.model_fields[name].default, Config) if name in values else False
        replaces = is_section and isinstance(value, Mapping) and isinstance(values[name], Mapping)
        replaced[name] = {**values[name], **value} if replaces else value
    return replaced


def parameter_count(module: nn.Module) -> int:
    """Number of trainable scalars; those of an inference-only network are what acting costs."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


class MLPBaseline(ModelConfig):
    """Two hidden layers of 256 tanh units for policy and value each, over standardized observations; of a
    Dict that has other parts, images and graphs are left out."""

    state_only: bool = True
    normalize_observations: bool = True


class GRU(ModelConfig):
    """A hidden layer of 128 tanh units and a GRU of 128 for policy and value together, over standardized
    observations; it learns from sequences of 32 steps, with 8 before them to burn in. Images and graphs are
    left out as by ``mlp_baseline``."""

    state_only: bool = True
    fcnet_hiddens: tuple[LayerSize, ...] = (128,)
    gru_cell_size: LayerSize | None = 128
    max_seq_len: pydantic.PositiveInt = 32
    burn_in: pydantic.NonNegativeInt = 8
    vf_share_layers: bool = True
    normalize_observations: bool = True


_VECTORS: dict[str, Modality] = {"game_state": "vector", "reachability": "vector"}
_LOCAL: dict[str, Modality] = {"player_frame": "image", "graph": "graph", **_VECTORS}
_BLIND: dict[str, Modality] = {"graph": "graph", **_VECTORS}
_ALL: dict[str, Modality] = {**_LOCAL, "global_view": "image"}


class _Several(ModelConfig):
    """What networks that read several modalities have in common: one encoder for policy and value."""

    fcnet_activation: ActivationField = "relu"
    head_fcnet_hiddens: tuple[LayerSize, ...] = (256, 128)
    vf_share_layers: bool = True
    normalize_observations: bool = True


class FullHGT(_Several):
    """All modalities: images, vectors, and the graph by a heterogeneous graph transformer; the modalities
    attend to each other with 8 heads."""

    modalities: dict[str, Modality] | None = _ALL
    graph: GraphOptions = GraphOptions(kind="hgt")
    fusion: FusionOptions = FusionOptions(kind="multi_head")
    features_dim: LayerSize = 512


class SimplifiedHGT(_Several):
    """All modalities in smaller layers; the graph by attention whose weights are alike for all types of
    nodes, and the modalities attend to each other with one head."""

    modalities: dict[str, Modality] | None = _ALL
    graph: GraphOptions = GraphOptions(kind="simplified_hgt", num_layers=2, hidden_dim=128, num_heads=4)
    visual: VisualOptions = VisualOptions(output_dim=128)
    state: StateOptions = StateOptions(hidden_dims=(64,), output_dim=64)
    fusion: FusionOptions = FusionOptions(kind="single_head")


class GAT(_Several):
    """All modalities; the graph by attention that reads edge types, and the modalities attend to each other
    with one head."""

    modalities: dict[str, Modality] | None = _ALL
    graph: GraphOptions = GraphOptions(kind="gat")
    fusion: FusionOptions = FusionOptions(kind="single_head")
    features_dim: LayerSize = 512


class GCN(_Several):
    """All modalities; the graph by graph convolutions, which know no edge types; the modalities joined."""

    modalities: dict[str, Modality] | None = _ALL
    graph: GraphOptions = GraphOptions(kind="gcn")
    features_dim: LayerSize = 512


class VisionFree(_Several):
    """The graph by a heterogeneous graph transformer, and vectors; no images."""

    modalities: dict[str, Modality] | None = _BLIND
    graph: GraphOptions = GraphOptions(kind="hgt")
    features_dim: LayerSize = 384


class LocalOnly(FullHGT):
    """``full_hgt`` without the global view: the image around the agent, the graph, and vectors."""

    modalities: dict[str, Modality] | None = _LOCAL


register_architecture("mlp_baseline", MLPBaseline)
register_architecture("gru", GRU)
register_architecture("full_hgt", FullHGT)
register_architecture("simplified_hgt", SimplifiedHGT)
register_architecture("gat", GAT)
register_architecture("gcn", GCN)
register_architecture("vision_free", VisionFree)
register_architecture("local_only", LocalOnly)
