"""How the parts of an observation reach the networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch.nn import functional

from rayrl.errors import ConfigError, SpaceError
from rayrl.models.encoder_options import Modality
from rayrl.models.graph_space import GraphSpace, is_graph
from rayrl.storage.spaces import leaf_spaces, space_text

OBS = "obs"
ACTION_MASK = f"{OBS}/action_mask"


def to_parts(observation: Any, name: str = OBS) -> dict[str, Any]:
    """The parts of a nested observation: ``{"obs": x}`` of an array, ``{"obs/a/b": x}`` of nested dicts."""
    if not isinstance(observation, Mapping):
        return {name: observation}
    return {
        leaf: part
        for key, value in observation.items()
        for leaf, part in to_parts(value, f"{name}/{key}").items()
    }


class ObservationLayout:
    """Which part of an observation goes where.

    Float and integer parts are joined and may be standardized (see ``Normalizer``); bytes are scaled to [0,
    1], booleans become 0 and 1, Discrete parts one-hot vectors; Boxes of rank 3 are images where the networks
    have convolutions. The part ``action_mask`` of a Dict goes to the action distribution alone.

    With ``modalities``, only the parts that they name are read, and as what they say: graphs, images, and
    vectors, which are Boxes of up to two axes or Discrete and go into the flat vector.

    Args:
        space: the environment's observation space.
        convolutions: whether the networks take images.
        state_only: leave out images, which the networks do not take, and graphs, where there are other parts.
        modalities: by key below the observation, what the part there is read as; None reads all parts.

    Attributes:
        shapes: the shape of one row of each part that the normalizer joins.
        size: number of elements of the flat vector, those parts included.
        images: (height, width, channels) of each image, by name.
        graphs: the form of each graph, by name.
        mask_size: length of the action mask, None without one.
        joined_only: whether the parts that the normalizer joins are all that there is to read.

    Raises:
        SpaceError: a part is of a space that no network here reads.
        ConfigError: a part is text, convolutions are asked for where there is no image, or a modality is not
            there or of another kind.
    """

    def __init__(
        self,
        space: gym.Space,
        *,
        convolutions: bool,
        state_only: bool = False,
        modalities: Mapping[str, Modality] | None = None,
    ) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.images: dict[str, tuple[int, int, int]] = {}
        self.graphs: dict[str, GraphSpace] = {}
        self.mask_size: int | None = None
        self._scales: dict[str, float] = {}
        self._one_hot: dict[str, tuple[int, int]] = {}
        self.size = 0
        leaves = leaf_spaces(space, OBS)
        if modalities is not None:
            self._attach(space, modalities)
            leaves = {name: part for name, part in leaves.items() if name == ACTION_MASK}
        elif state_only:
            left_out = {name for name in _not_state(space) if not (convolutions and name in leaves)}
            state = {name: part for name, part in leaves.items() if not _within(name, left_out)}
            leaves = state if state.keys() - {ACTION_MASK} else leaves
        for name, part in leaves.items():
            self._place(name, part, convolutions)
        if convolutions and not self.images:
            raise ConfigError(
                f"conv_filters are given, but no part has shape (height, width, channels): {space}",
                where="model_config",
                remedy="leave conv_filters out",
            )
        if not self.size and not self.images and not self.graphs:
            raise SpaceError(f"nothing to observe in {space}", where=OBS)
        self.joined_only = not (self.images or self.graphs or self._scales or self._one_hot)

    def _attach(self, space: gym.Space, modalities: Mapping[str, Modality]) -> None:
        """Places the parts that modalities name, in the order of the space."""
        there = {f"{OBS}/{key}": part for key, part in _parts_within(space)}
        for key, kind in modalities.items():
            part = there.get(f"{OBS}/{key}")
            if part is None:
                problem = "there is no such part"
            elif (found := _kind_of(part)) != kind:
                problem = f"that part is {found or 'neither image, graph nor vector'}: {space_text(part)}"
            else:
                continue
            listed = [f"{name.removeprefix(f'{OBS}/')}: {_kind_of(p) or '-'}" for name, p in there.items()]
            raise ConfigError(
                f"{key} is to be read as {kind}, and {problem}",
                where="model_config.modalities",
                remedy=f"there are {{{', '.join(listed)}}}; give modalities of these, or an environment with "
                f"that part"
                if there
                else f"observations are no Dict of parts: {space_text(space)}; leave modalities out",
            )
        for name, part in there.items():
            match modalities.get(name.removeprefix(f"{OBS}/")):
                case "graph":
                    assert isinstance(part, gym.spaces.Dict)
                    self.graphs[name] = GraphSpace.of(part, name)
                case "image":
                    self._place(name, part, convolutions=True)
                case "vector":
                    self._place(name, part, convolutions=False)

    def _place(self, name: str, space: gym.Space, convolutions: bool) -> None:
        if isinstance(space, gym.spaces.Text):
            raise ConfigError(
                f"the part {name!r} of the observation is text, which these networks do not read: {space}",
                where="observation space",
                remedy="leave the part out, or choose an architecture that reads text",
            )
        if name == ACTION_MASK:
            if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
                raise SpaceError(f"an action mask is a Box of rank 1, not {space}", where=name)
            self.mask_size = space.shape[0]
        elif isinstance(space, gym.spaces.Discrete):
            self._one_hot[name] = int(space.n), int(space.start)
            self.size += int(space.n)
        elif not isinstance(space, gym.spaces.Box):
            raise SpaceError(
                f"no network here reads {space}",
                where=name,
                remedy="observations are Box, Discrete or Dict",
            )
        elif convolutions and len(space.shape) == 3:
            height, width, channels = space.shape
            self.images[name] = height, width, channels
            self._scales[name] = _scale(space)
        else:
            if space.dtype in (np.uint8, np.bool_):
                self._scales[name] = _scale(space)
            else:
                self.shapes[name] = space.shape
            self.size += math.prod(space.shape)

    def flat(self, joined: torch.Tensor | None, parts: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """The flat vector (B, ``size``): the normalizer's, then bytes and booleans, then one-hot vectors.

        Args:
            joined: what the normalizer gave, None where it joins nothing.
            parts: all parts (B, ...).
        """
        rows = [] if joined is None else [joined]
        for name, scale in self._scales.items():
            if name not in self.images:
                rows.append((parts[name].float() * scale).flatten(1))
        for name, (n, start) in self._one_hot.items():
            rows.append(functional.one_hot(parts[name].long() - start, n).float())
        return torch.cat(rows, dim=1) if rows else None

    def image(self, name: str, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """An image part as float32 (B, channels, height, width)."""
        return (parts[name].float() * self._scales[name]).permute(0, 3, 1, 2)


def _parts_within(space: gym.Space, prefix: str = "") -> Iterator[tuple[str, gym.Space]]:
    """Each part that may be read as one modality, by its key; the parts of a graph are none."""
    if isinstance(space, gym.spaces.Dict):
        for key, part in space.spaces.items():
            if isinstance(part, gym.spaces.Dict) and not is_graph(part):
                yield from _parts_within(part, f"{prefix}{key}/")
            elif prefix or f"{OBS}/{key}" != ACTION_MASK:
                yield f"{prefix}{key}", part


def _kind_of(space: gym.Space) -> Modality | None:
    """As what a part can be read."""
    if is_graph(space):
        return "graph"
    if isinstance(space, gym.spaces.Discrete):
        return "vector"
    if isinstance(space, gym.spaces.Box) and len(space.shape) <= 3:
        return "image" if len(space.shape) == 3 else "vector"
    return None


def _not_state(space: gym.Space) -> Iterator[str]:
    for key, part in _parts_within(space):
        if _kind_of(part) in ("image", "graph"):
            yield f"{OBS}/{key}"


def _within(name: str, outer: set[str]) -> bool:
    return any(name == each or name.startswith(f"{each}/") for each in outer)


def _scale(space: gym.spaces.Box) -> float:
    return 1 / 255 if space.dtype == np.uint8 else 1.0
