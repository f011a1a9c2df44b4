import numpy as np
import pytest
import torch
from torch import nn

from rayrl.errors import PolicyError
from rayrl.models.weights import load_weights


def layer(value):
    linear = nn.Linear(2, 3)
    nn.init.constant_(linear.weight, value)
    nn.init.constant_(linear.bias, value)
    return linear


def same(module, value):
    return all((tensor == value).all() for tensor in module.state_dict().values())


def test_weights_that_fit_are_all_loaded_and_reported():
    module = layer(0.0)
    report = load_weights(module, layer(1.0).state_dict())
    assert report.loaded == ("weight", "bias")
    assert report.complete
    assert same(module, 1.0)


def test_the_modules_keep_their_own_memory():
    module, state = layer(0.0), layer(1.0).state_dict()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    load_weights(module, arrays)
    arrays["bias"][:] = 5
    assert same(module, 1.0)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda s: s.pop("bias"), "missing", "bias"),
        (lambda s: s.update(scale=torch.ones(1)), "unexpected", "scale"),
        (lambda s: s.update(bias=torch.ones(4)), "mismatched", "bias is float32 (4,), not float32 (3,)"),
        (lambda s: s.update(bias=np.ones(3)), "mismatched", "bias is float64 (3,), not float32 (3,)"),
    ],
)
def test_mismatched_weights_change_nothing_and_raise(change, kind, text):
    module, state = layer(0.0), layer(1.0).state_dict()
    change(state)
    with pytest.raises(PolicyError) as caught:
        load_weights(module, state, where="file.safetensors")
    assert "file.safetensors: the weights do not fit the network: " in str(caught.value)
    assert f"{kind}: {text}" in str(caught.value)
    assert same(module, 0.0)
    # Without strictness the rest is loaded, and the report is what the error said.
    report = load_weights(module, state, strict=False)
    assert getattr(report, kind) == (text,)
    assert not report.complete
    assert (module.weight == 1).all()
    assert (module.bias == float("bias" in report.loaded)).all()


def test_weights_of_which_nothing_fits_are_refused_even_when_lenient():
    module = layer(0.0)
    with pytest.raises(PolicyError, match="0 tensors fit; missing: weight, bias; unexpected: other"):
        load_weights(module, {"other": torch.ones(1)}, strict=False)
