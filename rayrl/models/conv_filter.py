"""One convolution as a file has it: ``[channels, kernel, stride]``, as RLlib's ``conv_filters`` are."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import pydantic

from rayrl.models.sizes import MAX_LAYER_SIZE

Padding = Literal["same", "valid"]

_FILTER_FORM = (
    'must be [channels, kernel, stride] or [channels, kernel, stride, "same" | "valid"], '
    f"with kernel and stride positive integers or pairs of them, none above {MAX_LAYER_SIZE:,}"
)


class ConvFilter(NamedTuple):
    """One convolution over an image; extents are (height, width)."""

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding


def _conv_filter(value: Any) -> ConvFilter:
    match value:
        case [channels, kernel, stride] if _positive(channels):
            return ConvFilter(channels, _extent(kernel), _extent(stride), "same")
        case [channels, kernel, stride, ("same" | "valid") as padding] if _positive(channels):
            return ConvFilter(channels, _extent(kernel), _extent(stride), padding)
    raise ValueError(_FILTER_FORM)


def _extent(value: Any) -> tuple[int, int]:
    match value:
        case [height, width] if _positive(height) and _positive(width):
            return height, width
        case size if _positive(size):
            return size, size
    raise ValueError(_FILTER_FORM)


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_LAYER_SIZE


ConvFilterField = Annotated[
    ConvFilter,
    pydantic.PlainValidator(_conv_filter),
    pydantic.PlainSerializer(tuple),
    pydantic.WithJsonSchema({"type": "array", "description": "`[channels, kernel, stride]`"}),
]
