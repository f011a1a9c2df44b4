"""Algorithms that end with their test."""

from collections.abc import Callable, Iterator

import pytest

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.algorithms.config import ColumnarConfig


@pytest.fixture
def build() -> Iterator[Callable[[ColumnarConfig], ColumnarAlgorithm]]:
    """Builds algorithms, and ends them with the test."""
    built: list[ColumnarAlgorithm] = []

    def make(config: ColumnarConfig) -> ColumnarAlgorithm:
        built.append(config.build_algo())
        return built[-1]

    yield make
    for algorithm in built:
        algorithm.stop()
