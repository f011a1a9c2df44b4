import math

import pytest
import torch
from ray.rllib.models.torch.misc import same_padding, valid_padding
from torch.nn import functional

from rayrl.errors import ConfigError
from rayrl.models.model_config import ModelConfig
from rayrl.models.networks import CNN, MLP, Initializer, policy_head, value_head


def mlp(**options):
    return MLP(
        (3, 5, 4), **{"activation": "tanh", "layer_norm": False, "initializer": Initializer(), **options}
    )


def cnn(shape, *filters):
    config = ModelConfig(conv_filters=filters)
    return CNN(shape, config.conv_filters, activation="relu", initializer=Initializer())


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("tanh", math.tanh),
        ("relu", lambda x: max(x, 0.0)),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        ("elu", lambda x: x if x > 0 else math.exp(x) - 1),
        ("linear", lambda x: x),
    ],
)
def test_mlp_by_hand(name, function):
    network = MLP((1, 1), activation=name, layer_norm=False, initializer=Initializer(), output_size=1)
    with torch.no_grad():
        for linear, (weight, bias) in zip(network.linears, [(2.0, -3.0), (10.0, 0.5)], strict=True):
            linear.weight.fill_(weight)
            linear.bias.fill_(bias)
    # 10 f(2x − 3) + 0.5
    expected = [[10 * function(-1.0) + 0.5], [10 * function(1.0) + 0.5]]
    torch.testing.assert_close(network(torch.tensor([[1.0], [2.0]])), torch.tensor(expected))


def test_layer_norm_comes_before_the_activation():
    network, start = mlp(layer_norm=True), torch.randn(6, 3)
    expected = start
    for linear in network.linears:
        expected = torch.tanh(functional.layer_norm(linear(expected), (linear.out_features,), eps=1e-3))
    torch.testing.assert_close(network(start), expected)
    assert [name for name, _ in network.named_parameters() if "norms" in name] == [
        "norms.0.weight",
        "norms.0.bias",
        "norms.1.weight",
        "norms.1.bias",
    ]


def test_weights_are_orthogonal_and_biases_zero_by_default():
    first, second = mlp().linears
    # Columns of a tall matrix, rows of a wide one, are orthogonal with squared length gain² = 2.
    torch.testing.assert_close(first.weight.T @ first.weight, 2 * torch.eye(3))
    torch.testing.assert_close(second.weight @ second.weight.T, 2 * torch.eye(4))
    assert not first.bias.any()
    config = ModelConfig(head_fcnet_hiddens=[6])
    for head, gain in [(policy_head(8, 4, config), 0.01), (value_head(8, config), 1.0)]:
        hidden, output = (linear.weight for linear in head.linears)
        torch.testing.assert_close(hidden @ hidden.T, 2 * torch.eye(6))
        torch.testing.assert_close(output @ output.T, gain**2 * torch.eye(len(output)))


def test_given_initializers_and_their_arguments_are_used():
    initializer = Initializer("constant_", {"val": 0.25}, "constant_", {"val": -1.0})
    network = mlp(initializer=initializer, output_size=2)
    for linear in network.linears:
        assert (linear.weight == 0.25).all()
        assert (linear.bias == -1).all()


@pytest.mark.parametrize(
    "initializer", [Initializer("uniform_", {"low": 0}), Initializer(bias="orthogonal_")]
)
def test_initializers_that_cannot_be_applied_are_named(initializer):
    with pytest.raises(ConfigError, match=r"initializer '(uniform_|orthogonal_)' cannot fill a tensor"):
        mlp(initializer=initializer)


@pytest.mark.parametrize("size", [(10, 10), (84, 84), (8, 13)])
@pytest.mark.parametrize(("kernel", "stride"), [((5, 5), (2, 2)), ((8, 8), (4, 4)), ((3, 4), (1, 3))])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_sizes_after_convolutions_are_rllibs(size, kernel, stride, padding):
    network = cnn((*size, 3), [6, kernel, stride, padding])
    if padding == "same":
        pixels, (height, width) = same_padding(size, kernel, stride)
        assert network._paddings == [pixels]
    else:
        height, width = valid_padding(size, kernel, stride)
    assert network.output_size == 6 * height * width
    assert network(torch.rand(2, 3, *size)).shape == (2, network.output_size)


def test_convolution_by_hand():
    network = cnn((2, 2, 1), [1, 2, 1])
    with torch.no_grad():
        network.convolutions[0].weight.copy_(torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]]))
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    # Same padding puts one row below and one column to the right.
    assert network(image).tolist() == [[4321, 402, 43, 4]]


def test_images_smaller_than_a_kernel_are_refused():
    with pytest.raises(ConfigError, match=r"conv_filters: nothing is left of an image of \(4, 4, 1\)"):
        cnn((4, 4, 1), [8, 5, 1, "valid"])


def test_replaced_and_converted_parameters_are_seen():
    network, x = mlp(), torch.ones(1, 3)
    assert network(x).any()
    network.load_state_dict({k: torch.zeros_like(v) for k, v in network.state_dict().items()}, assign=True)
    assert not network(x).any()
    assert network.double()(x.double()).dtype == torch.float64
