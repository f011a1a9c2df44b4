"""How large networks may be: a slip of the hand is refused before it takes all of a machine's memory."""

from __future__ import annotations

from typing import Annotated

import pydantic

MAX_LAYER_SIZE = 16_384
LayerSize = Annotated[int, pydantic.Field(ge=1, le=MAX_LAYER_SIZE)]
"""Numbers that a layer gives."""
NumLayers = Annotated[int, pydantic.Field(ge=1, le=64)]
"""Layers of one kind in a row."""
