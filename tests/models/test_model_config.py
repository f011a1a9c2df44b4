import dataclasses
import json
import math

import pytest
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

from rayrl.errors import ConfigError
from rayrl.models.model_config import UNSUPPORTED, ModelConfig

RLLIB = dataclasses.asdict(DefaultModelConfig())


def test_every_key_of_rllib_is_honoured_or_refused():
    """Fails when a new Ray adds, drops or changes a key."""
    assert {key: RLLIB[key] for key in UNSUPPORTED} == UNSUPPORTED
    assert RLLIB.keys() - UNSUPPORTED.keys() <= ModelConfig.model_fields.keys()


def test_rllibs_defaults_are_accepted_and_keep_their_meaning():
    config = ModelConfig.from_rllib(RLLIB)
    own = json.loads(config.model_dump_json())
    honoured = RLLIB.keys() - UNSUPPORTED.keys()
    assert {key: own[key] for key in honoured} == {key: RLLIB[key] for key in honoured}
    assert config.vf_share_layers
    assert not ModelConfig.from_rllib({}).vf_share_layers


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_keys_that_are_not_supported_raise_and_name_the_value(key):
    other = {bool: True, int: 7, list: [7], str: "relu", type(None): "zeros_"}[type(UNSUPPORTED[key])]
    with pytest.raises(ConfigError) as caught:
        ModelConfig.from_rllib({key: other})
    assert f"{key} = {other!r}" in str(caught.value)
    ModelConfig.from_rllib({key: UNSUPPORTED[key]})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fcnet_hidden": [64]}, "did you mean 'fcnet_hiddens'"),
        ({"use_attention": True}, "use_attention: unknown key"),
        ({"fcnet_hiddens": [64, 0]}, "fcnet_hiddens.1 = 0"),
        ({"fcnet_activation": "step"}, "fcnet_activation = 'step'"),
        ({"fcnet_kernel_initializer": "xavier_uniform"}, "in-place function of torch.nn.init"),
        ({"fcnet_kernel_initializer": "no_such_"}, "in-place function of torch.nn.init"),
        ({"log_std_clip_param": -1}, "log_std_clip_param = -1"),
        ({"observation_clip": math.nan}, "observation_clip = nan"),
        ({"conv_filters": [[16, 4]]}, "conv_filters.0 = [16, 4]: must be [channels, kernel, stride]"),
        ({"conv_filters": [[16, 0, 1]]}, "conv_filters.0 = [16, 0, 1]"),
        ({"conv_filters": [[16, [2, 2, 2], 1]]}, "conv_filters.0 = [16, [2, 2, 2], 1]"),
        (
            {"fcnet_hiddens": [64, 20_000]},
            "fcnet_hiddens.1 = 20000: Input should be less than",
        ),
        ({"conv_filters": [[20_000, 2, 1]]}, "none above 16,384"),
        ({"conv_filters": [[16, 2, 1, "full"]]}, "conv_filters.0 = [16, 2, 1, 'full']"),
    ],
)
def test_wrong_options_are_named(values, message):
    with pytest.raises(ConfigError) as caught:
        ModelConfig.from_rllib(values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "name"),
    [("ReLU", "relu"), ("swish", "silu"), ("SiLU", "silu"), (None, "linear"), ("linear", "linear")],
)
def test_activations_go_by_rllibs_names(given, name):
    assert ModelConfig.from_rllib({"fcnet_activation": given}).fcnet_activation == name


def test_json_and_rllib_forms_give_the_same_options_back():
    config = ModelConfig(
        conv_filters=[[16, [4, 2], 2], [32, 3, 1, "valid"]],
        log_std_clip_param=math.inf,
        fcnet_kernel_initializer="uniform_",
        fcnet_kernel_initializer_kwargs={"a": -0.5, "b": 0.5},
    )
    assert ModelConfig.parse(json.loads(config.model_dump_json()), where="json") == config
    assert ModelConfig.from_rllib(config.model_dump()) == config
