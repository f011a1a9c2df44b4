import pytest
from gymnasium import spaces

from rayrl.errors import ConfigError
from rayrl.models import architectures
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import architecture, names, parameter_count, register_architecture
from rayrl.models.model_config import ModelConfig


def test_the_baseline_is_registered_under_its_name():
    assert names() == ["mlp_baseline"]
    config = architecture("mlp_baseline")()
    assert config.fcnet_hiddens == (256, 256)
    assert config.fcnet_activation == "tanh"
    assert not config.vf_share_layers
    assert config.normalize_observations


def test_unknown_names_offer_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'mlp_baseline'"):
        architecture("mlp_base_line")


def test_names_are_taken_once(monkeypatch):
    monkeypatch.setattr(architectures, "_ARCHITECTURES", dict(architectures._ARCHITECTURES))

    class Wide(ModelConfig):
        fcnet_hiddens: tuple[int, ...] = (1024,)

    register_architecture("wide", Wide)
    register_architecture("wide", Wide)
    assert names() == ["mlp_baseline", "wide"]
    with pytest.raises(ConfigError, match="the architecture 'wide' is already Wide"):
        register_architecture("wide", ModelConfig)


def test_parameters_by_hand():
    config = architecture("mlp_baseline")(fcnet_hiddens=[8])
    network = ActorCriticNetwork(spaces.Box(-1, 1, (4,)), spaces.Discrete(3), config)
    # Policy and value each 4·8 + 8, their heads 8·3 + 3 and 8 + 1; moments are not trained.
    assert parameter_count(network) == 2 * 40 + 27 + 9
    network = ActorCriticNetwork(spaces.Box(-1, 1, (4,)), spaces.Discrete(3), config, inference_only=True)
    assert parameter_count(network) == 40 + 27
