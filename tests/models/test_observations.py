import numpy as np
import pytest
import torch
from gymnasium import spaces

from rayrl.errors import ConfigError, SpaceError
from rayrl.models.observations import ObservationLayout, to_parts

IMAGE = spaces.Box(0, 255, (2, 3, 1), np.uint8)


def test_parts_of_nested_observations():
    assert to_parts(3) == {"obs": 3}
    assert to_parts({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"obs/a": 1, "obs/b/c": 2, "obs/b/d/e": 3}


def test_where_each_part_goes():
    space = spaces.Dict(
        speed=spaces.Box(-1, 1, (2,)),
        level=spaces.Box(0, 9, (2, 2), np.int64),
        gear=spaces.Discrete(3, start=1),
        lamps=spaces.Box(0, 1, (2,), np.bool_),
        camera=IMAGE,
        action_mask=spaces.Box(0, 1, (4,), np.int8),
    )
    layout = ObservationLayout(space, convolutions=False)
    assert layout.shapes == {"obs/speed": (2,), "obs/level": (2, 2)}
    assert layout.images == {}
    assert layout.mask_size == 4
    assert layout.size == 2 + 4 + 3 + 2 + 6
    parts = {
        "obs/speed": torch.zeros(1, 2),
        "obs/level": torch.zeros(1, 2, 2),
        "obs/gear": torch.tensor([2]),
        "obs/lamps": torch.tensor([[True, False]]),
        "obs/camera": torch.tensor([[[[0], [51], [102]], [[153], [204], [255]]]], dtype=torch.uint8),
        "obs/action_mask": torch.ones(1, 4, dtype=torch.int8),
    }
    flat = layout.flat(torch.full((1, 6), 7.0), parts)
    # Joined parts, then bytes and booleans in the order of the space, then one-hot.
    expected = [7.0] * 6 + [1, 0] + [0, 0.2, 0.4, 0.6, 0.8, 1] + [0, 1, 0]
    torch.testing.assert_close(flat, torch.tensor([expected]))


def test_images_for_convolutions_are_scaled_and_channels_come_first():
    layout = ObservationLayout(spaces.Dict(camera=IMAGE, speed=spaces.Box(-1, 1, (2,))), convolutions=True)
    assert layout.images == {"obs/camera": (2, 3, 1)}
    assert layout.size == 2
    image = torch.arange(6, dtype=torch.uint8).reshape(1, 2, 3, 1) * 51
    expected = torch.tensor([[[[0, 0.2, 0.4], [0.6, 0.8, 1]]]])
    torch.testing.assert_close(layout.image("obs/camera", {"obs/camera": image}), expected)


@pytest.mark.parametrize(
    ("space", "convolutions", "error", "message"),
    [
        (
            spaces.Dict(note=spaces.Text(5)),
            False,
            ConfigError,
            "the part 'obs/note' of the observation is text",
        ),
        (spaces.Text(5), False, ConfigError, "the part 'obs' of the observation is text"),
        (spaces.MultiBinary(3), False, SpaceError, "no network here reads"),
        (spaces.Dict(a=spaces.MultiDiscrete([2, 2])), False, SpaceError, "obs/a: no network here reads"),
        (spaces.Dict(action_mask=spaces.Box(0, 1, (3,))), False, SpaceError, "nothing to observe"),
        (spaces.Dict(action_mask=spaces.Discrete(3)), False, SpaceError, "an action mask is a Box of rank 1"),
        (spaces.Box(-1, 1, (3,)), True, ConfigError, "conv_filters are given, but no part"),
    ],
)
def test_what_networks_cannot_read_is_named(space, convolutions, error, message):
    with pytest.raises(error) as caught:
        ObservationLayout(space, convolutions=convolutions)
    assert message in str(caught.value)
