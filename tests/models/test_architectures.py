import pytest
from gymnasium import spaces

from rayrl.errors import ConfigError
from rayrl.models import architectures
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import architecture, names, parameter_count, register_architecture
from rayrl.models.model_config import ModelConfig

OWN = ["full_hgt", "gat", "gcn", "gru", "local_only", "mlp_baseline", "simplified_hgt", "vision_free"]


def test_the_baseline_is_registered_under_its_name():
    assert names() == OWN
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
    assert names() == [*OWN, "wide"]
    with pytest.raises(ConfigError, match="the architecture 'wide' is already Wide"):
        register_architecture("wide", ModelConfig)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package with architectures of its own."""
    monkeypatch.setattr(architectures, "_ARCHITECTURES", dict(architectures._ARCHITECTURES))
    (tmp_path / "fat_nets.py").write_text(
        "from rayrl.models.model_config import ModelConfig\n"
        "class Fat(ModelConfig):\n    fcnet_hiddens: tuple[int, ...] = (512,)\n"
    )
    about = tmp_path / "fat_nets-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fat-nets\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[rayrl.architectures]\nfat = fat_nets:Fat\nlost = fat_nets:Lost\nwrong = fat_nets:__name__\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_installed_packages_add_their_own(package):
    assert names() == sorted([*OWN, "fat", "lost", "wrong"])
    assert architecture("fat")().fcnet_hiddens == (512,)
    assert architecture("fat") is architecture("fat")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lost", "entry point lost = fat_nets:Lost: cannot be loaded"),
        ("wrong", "'fat_nets' is no subclass of ModelConfig"),
    ],
)
def test_an_entry_point_that_is_wrong_is_named(package, name, message):
    with pytest.raises(ConfigError, match=message):
        architecture(name)


def test_parameters_by_hand():
    config = architecture("mlp_baseline")(fcnet_hiddens=[8])
    network = ActorCriticNetwork(spaces.Box(-1, 1, (4,)), spaces.Discrete(3), config)
    # Policy and value each 4·8 + 8, their heads 8·3 + 3 and 8 + 1; moments are not trained.
    assert parameter_count(network) == 2 * 40 + 27 + 9
    network = ActorCriticNetwork(spaces.Box(-1, 1, (4,)), spaces.Discrete(3), config, inference_only=True)
    assert parameter_count(network) == 40 + 27
