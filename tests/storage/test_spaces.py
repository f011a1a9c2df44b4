import json
import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rayrl.errors import SpaceError
from rayrl.storage.spaces import (
    DTYPES,
    Spaces,
    leaf_spaces,
    space_differences,
    space_from_json,
    space_text,
    space_to_json,
)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    dtype = draw(st.sampled_from(sorted(DTYPES, key=str)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    elements = hnp.from_dtype(dtype, allow_nan=False)
    ends = [draw(hnp.arrays(dtype, shape, elements=elements)) for _ in range(2)]
    low, high = np.asarray(np.minimum(*ends)), np.asarray(np.maximum(*ends))
    return Box(low, high, shape, dtype.type)


integers = st.sampled_from([np.int8, np.uint8, np.int32, np.int64])
discretes = st.builds(
    lambda n, start, dtype: Discrete(n, start=start, dtype=dtype),
    st.integers(1, 50),
    st.integers(0, 9),
    integers,
)
multi_discretes = st.builds(
    lambda nvec, dtype: MultiDiscrete(nvec, dtype=dtype, start=nvec),
    hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=3), elements=st.integers(1, 9)),
    integers,
)
multi_binaries = st.builds(
    lambda shape: MultiBinary(shape[0] if len(shape) == 1 else shape),
    hnp.array_shapes(max_dims=3, max_side=4),
)
texts = st.builds(
    lambda low, more, characters: Text(low + more, min_length=low, charset=characters),
    st.integers(0, 5),
    st.integers(0, 5),
    st.frozensets(st.characters(codec="utf-8"), min_size=1, max_size=5),
)
leaves = st.one_of(boxes(), discretes, multi_discretes, multi_binaries, texts)
keys = st.text(min_size=1, max_size=4).filter(lambda key: "/" not in key)
spaces = st.recursive(
    leaves,
    lambda inner: st.dictionaries(keys, inner, min_size=1, max_size=3).map(lambda d: Dict(list(d.items()))),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(spaces)
def test_a_space_survives_json_exactly(space: gym.Space) -> None:
    text = json.dumps(space_to_json(space), allow_nan=False)
    back = space_from_json(json.loads(text))
    assert type(back) is type(space)
    assert space_differences(space, back) == []
    assert list(leaf_spaces(back, "s")) == list(leaf_spaces(space, "s"))
    for leaf, other in zip(leaf_spaces(space, "s").values(), leaf_spaces(back, "s").values(), strict=True):
        assert leaf == other
        assert leaf.dtype == other.dtype
        if isinstance(leaf, Box):  # Its own == compares bounds within a tolerance.
            np.testing.assert_array_equal(leaf.low, other.low)
            np.testing.assert_array_equal(leaf.high, other.high)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (
            Box(-np.inf, np.array([1, 2], np.float32)),
            {"type": "Box", "dtype": "float32", "shape": [2], "low": "-inf", "high": [1.0, 2.0]},
        ),
        (
            Box(0, 255, (4, 4, 3), np.uint8),
            {"type": "Box", "dtype": "uint8", "shape": [4, 4, 3], "low": 0, "high": 255},
        ),
        (Discrete(3, start=-1), {"type": "Discrete", "dtype": "int64", "n": 3, "start": -1}),
        (
            MultiDiscrete([3, 2]),
            {"type": "MultiDiscrete", "dtype": "int64", "nvec": [3, 2], "start": [0, 0]},
        ),
        (MultiBinary(5), {"type": "MultiBinary", "shape": [5]}),
        (
            Text(4, charset="ba"),
            {"type": "Text", "min_length": 1, "max_length": 4, "characters": "ab"},
        ),
        (
            Dict([("z", Discrete(2)), ("a", MultiBinary([2, 2]))]),
            {
                "type": "Dict",
                "spaces": [
                    ["z", {"type": "Discrete", "dtype": "int64", "n": 2, "start": 0}],
                    ["a", {"type": "MultiBinary", "shape": [2, 2]}],
                ],
            },
        ),
    ],
)
def test_the_json_form_is_the_documented_one(space: gym.Space, expected: dict[str, object]) -> None:
    assert space_to_json(space) == expected


def test_differences_name_the_place_and_both_values() -> None:
    a = Dict(camera=Box(0, 255, (8, 8), np.uint8), state=Dict(speed=Box(-1, 1, (3,)), gear=Discrete(5)))
    b = Dict(camera=Box(0, 255, (8, 9), np.uint8), state=Dict(speed=Box(-1, 2, (3,)), gear=MultiBinary(5)))
    assert space_differences(a, b, where="obs") == [
        "obs/camera: shape [8, 8] against [8, 9]",
        "obs/state/speed: high 1.0 against 2.0",
        "obs/state/gear: Discrete against MultiBinary",
    ]
    assert space_differences(a, Dict(camera=a["camera"])) == [
        "space: keys ['camera', 'state'] against ['camera']"
    ]


def test_bounds_and_dtypes_are_compared_exactly() -> None:
    a = Box(0, 1, (2,), np.float64)
    assert a == Box(0, 1 + 1e-9, (2,), np.float64)
    assert space_differences(a, Box(0, 1 + 1e-9, (2,), np.float64)) == ["space: high 1.0 against 1.000000001"]
    assert space_differences(a, Box(0, 1, (2,), np.float32)) == ["space: dtype float64 against float32"]


def test_spaces_of_an_agent_survive_json_and_tell_which_of_them_differs() -> None:
    spaces = Spaces(Box(-1, 1, (3,)), Discrete(2))
    assert Spaces.from_json(spaces.to_json()) == spaces
    assert spaces.differences(Spaces(Box(-1, 1, (3,)), Discrete(3))) == ["action: n 2 against 3"]


@pytest.mark.parametrize(
    ("space", "place"),
    [
        (Tuple([Discrete(2)]), "space"),
        (Dict(a=Dict(b=Tuple([Discrete(2)]))), "space/a/b"),
        (Dict({"a/b": Discrete(2)}), "space"),
        (Dict({1: Discrete(2)}), "space"),
        (Dict(a=Dict()), "space/a"),
        (Box(0, 1, (2,), np.longdouble), "space"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(space: gym.Space, place: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space_to_json(space)
    assert caught.value.where == place


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"type": "Graph"},
        {"type": "Discrete", "dtype": "int64", "n": 0, "start": 0},
        {"type": "Discrete", "dtype": "int64"},
        {"type": "Box", "dtype": "float32", "shape": [2], "low": "nan", "high": 1},
        {"type": "Box", "dtype": "float32", "shape": [2], "low": [0], "high": 1},
        {"type": "Box", "dtype": "object", "shape": [2], "low": 0, "high": 1},
        {"type": "Dict", "spaces": [["a", {"type": "Discrete"}]]},
    ],
)
def test_json_that_is_no_space_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(SpaceError):
        space_from_json(value)


def test_infinite_bounds_of_half_precision_come_back_infinite() -> None:
    box = space_from_json(space_to_json(Box(-math.inf, math.inf, (2,), np.float16)))
    assert box.low.tolist() == [-math.inf] * 2
    assert box.dtype == np.float16


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (Box(-1, 1, (3,)), "Box(3,) float32 in [-1, 1]"),
        (Box(np.array([0.0, -1.0]), np.array([1.0, 1.0]), dtype=np.float64), "Box(2,) float64"),
        (Discrete(4), "Discrete(4)"),
        (
            Dict({"image": Box(0, 255, (8, 8, 3), np.uint8), "speed": Box(-np.inf, np.inf, (1,))}),
            "Dict(image: Box(8, 8, 3) uint8 in [0, 255], speed: Box(1,) float32 in [-inf, inf])",
        ),
    ],
)
def test_a_space_in_one_line(space, text):
    assert space_text(space) == text
