"""Networks of several modalities: what each architecture reads, every fusion, and what does not fit."""

import json
import re

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rayrl.errors import ConfigError, DataError, SpaceError
from rayrl.models.action_values import greedy
from rayrl.models.actor_critic import ActorCritic
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.architectures import architecture, model_config
from rayrl.models.model_config import ModelConfig
from rayrl.models.policy_folder import load_policy, save_policy
from rayrl.models.sequences import Sequences
from rayrl.models.soft_actor_critic import squashed
from tests.models.level_observations import ACTION, graph, level_space, levels, row, used_by

IMAGES, VECTORS = {"player_frame", "global_view"}, {"game_state", "reachability"}
READS = {
    "mlp_baseline": VECTORS,
    "gru": VECTORS,
    "vision_free": {"graph", *VECTORS},
    "local_only": {"player_frame", "graph", *VECTORS},
    **{name: {"graph", *IMAGES, *VECTORS} for name in ("gat", "gcn", "full_hgt", "simplified_hgt")},
}
SEVERAL = [name for name in READS if name not in ("mlp_baseline", "gru")]
FUSIONS = ("concat", "single_head", "multi_head", "hierarchical", "adaptive")
SMALL = {
    "graph": {"hidden_dim": 16, "num_layers": 2},
    "visual": {"conv_filters": [[4, 3, 2]], "output_dim": 12},
    "state": {"hidden_dims": [8], "output_dim": 6},
    "fusion": {"width": 16},
    "features_dim": 24,
    "head_fcnet_hiddens": [8],
}


@pytest.fixture
def parts():
    rng = np.random.default_rng(1)
    return levels([graph(rng, *size) for size in ((9, 30), (4, 7), (12, 40))])


def small(name, **options):
    torch.manual_seed(0)
    sizes = used_by(name, SMALL) if name in SEVERAL else {}
    config = ModelConfig.from_rllib(model_config(name, sizes | options))
    return ActorCriticNetwork(level_space(), ACTION, config)


def changed(parts, key):
    """The batch with one key's parts of another row."""
    return {
        name: part.roll(1, 0) if name == f"obs/{key}" or name.startswith(f"obs/{key}/") else part
        for name, part in parts.items()
    }


@pytest.mark.parametrize("name", READS)
def test_each_architecture_reads_its_modalities_and_no_others(name, parts):
    net = small(name)
    before, _ = net.step(parts, net.initial_state(3))
    for key in (*IMAGES, *VECTORS, "graph"):
        after, _ = net.step(changed(parts, key), net.initial_state(3))
        assert torch.equal(before, after) == (key not in READS[name]), key


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("name", SEVERAL)
def test_every_fusion_of_every_architecture_learns_with_all_its_parameters(name, fusion, parts):
    net = small(name, fusion={"kind": fusion} | ({} if fusion == "concat" else {"width": 16}))
    with torch.no_grad():  # gates that are all alike say nothing about what they are computed from
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    inputs, values = net.policy_and_value(parts)
    assert (inputs.shape, values.shape) == ((3, 5), (3,))
    (inputs.log_softmax(-1)[:, 0].sum() + values.sum()).backward()
    without = {n for n, parameter in net.named_parameters() if parameter.grad is None}
    assert without == set()
    alone = [net.policy_and_value(row(parts, i)) for i in range(3)]
    torch.testing.assert_close(torch.cat([x for x, _ in alone]), inputs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat([v for _, v in alone]), values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SEVERAL)
def test_a_value_of_its_own_shares_nothing(name, parts):
    net = small(name, vf_share_layers=False)
    net.value(parts).sum().backward()
    acting = net.actor_parameters()
    assert {parameter in acting for parameter in net.parameters() if parameter.grad is not None} == {False}
    assert net.policy_and_value(parts)[1].tolist() == net.value(parts).tolist()


def test_vectors_are_standardized_and_nothing_else(parts):
    net = small("full_hgt")
    assert net.normalizer.size == 13
    net.normalizer.update_from_moments(net.normalizer.moments(parts))
    flat, seen = net.read(parts)
    torch.testing.assert_close(flat.mean(0), torch.zeros(13), atol=1e-5, rtol=0)
    # In the order of the space, then the graph.
    assert [tuple(image.shape) for image in seen[:2]] == [(3, 1, 5, 5), (3, 1, 9, 7)]
    assert len(seen[2]) == 3


def test_an_attention_by_hand():
    from rayrl.models.fusion import Attention

    config = ModelConfig(
        modalities={"a": "vector"}, fusion={"kind": "multi_head", "num_heads": 2, "width": 4}
    )
    torch.manual_seed(0)
    fusion = Attention(("graph", "vector"), (3, 2), config)
    reference = torch.nn.MultiheadAttention(4, 2, batch_first=True)
    reference.load_state_dict(
        {
            "in_proj_weight": fusion.query_key_value.weight,
            "in_proj_bias": fusion.query_key_value.bias,
            "out_proj.weight": fusion.out.weight,
            "out_proj.bias": fusion.out.bias,
        }
    )
    tokens = torch.randn(5, 3), torch.randn(5, 2)
    x = torch.stack([p(token) for p, token in zip(fusion.projections, tokens, strict=True)], dim=1)
    expected = fusion.norm(x + reference(x, x, x)[0]).flatten(1)
    torch.testing.assert_close(fusion(tokens), expected)


def test_gates_by_hand():
    from rayrl.models.fusion import Adaptive

    config = ModelConfig(
        modalities={"a": "vector"}, fusion={"kind": "adaptive", "width": 1}, fcnet_activation="linear"
    )
    fusion = Adaptive(("image", "vector"), (1, 1), config)
    with torch.no_grad():
        for projection in fusion.projections:
            projection.weight.fill_(1)
        fusion.gate.bias.copy_(torch.tensor([0.0, np.log(3)]))
    # Gates 1/4 and 3/4 of tokens 8 and 4.
    torch.testing.assert_close(fusion((torch.tensor([[8.0]]), torch.tensor([[4.0]]))), torch.tensor([[5.0]]))


def test_levels_of_a_hierarchy():
    net = small("full_hgt", fusion={"kind": "hierarchical", "width": 16})
    sizes = {name: level.in_features for name, level in net.encoder.fusion.levels.items()}
    assert sizes == {"image": 12 + 12, "graph": 16 + 16, "vector": 16 + 6}
    net = small("vision_free", fusion={"kind": "hierarchical"})
    assert {name: level.in_features for name, level in net.encoder.fusion.levels.items()} == {"vector": 22}


def test_a_memory_over_modalities(parts):
    net = small("gcn", gru_cell_size=7)
    state = torch.rand(3, 7)
    inputs, after = net.step(parts, state)
    assert after.shape == (3, 7)
    rows = net.policy(parts, Sequences.steps(state))
    torch.testing.assert_close(rows, inputs)


@pytest.mark.parametrize("name", SEVERAL)
def test_a_policy_folder_gives_the_same_policy(name, parts, tmp_path):
    net = small(name)
    net.normalizer.update_from_moments(net.normalizer.moments(parts))
    save_policy(tmp_path / "policy", net, architecture=name, provenance={})
    policy = load_policy(tmp_path / "policy")
    assert policy.network.config == net.config
    assert torch.equal(policy.network.policy(parts), net.policy(parts))
    observation = level_space().sample()
    observation["graph"] = {
        key: parts[f"obs/graph/{key}"][0].numpy() for key in level_space()["graph"].spaces
    }
    observation["action_mask"][:] = [0, 0, 1, 0, 0]
    assert policy.act(observation) == 2


@pytest.mark.parametrize("name", READS)
def test_options_come_back_from_json(name):
    config = architecture(name)()
    assert ModelConfig.parse(json.loads(config.model_dump_json()), where="json") == ModelConfig(
        **config.model_dump()
    )
    assert ModelConfig.from_rllib(model_config(name)).model_dump() == config.model_dump()


def test_sections_are_replaced_option_by_option():
    config = model_config("gcn", {"graph": {"num_layers": 4, "hidden_dim": 48}, "modalities": {"g": "graph"}})
    assert config["graph"]["kind"] == "gcn"
    assert (config["graph"]["num_layers"], config["graph"]["hidden_dim"]) == (4, 48)
    assert config["modalities"] == {"g": "graph"}


@pytest.mark.parametrize("name", ["gat", "full_hgt"])
def test_rllibs_module(name, parts):
    def module(inference_only):
        torch.manual_seed(inference_only)
        return ActorCritic(
            observation_space=level_space(),
            action_space=ACTION,
            model_config=model_config(name, SMALL),
            inference_only=inference_only,
        )

    learner, actor = module(False), module(True)
    assert not torch.equal(learner.policy(parts), actor.policy(parts))
    actor.set_state(learner.get_state(inference_only=True))
    assert torch.equal(learner.policy(parts), actor.policy(parts))
    other = module(False)
    other.set_state(learner.get_state())
    assert torch.equal(other.value(parts), learner.value(parts))


SPACE = spaces.Dict(
    action_mask=spaces.Box(0, 1, (5,), np.int8),
    camera=spaces.Box(0, 255, (3, 3, 1), np.uint8),
    deep=spaces.Dict(speed=spaces.Box(-1, 1, (2,))),
    tokens=spaces.MultiDiscrete([2, 2]),
)


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ({"graph": "graph"}, "graph is to be read as graph, and there is no such part"),
        ({"camera": "vector"}, "camera is to be read as vector, and that part is image: Box(3, 3, 1) uint8"),
        ({"deep/speed": "image"}, "deep/speed is to be read as image, and that part is vector"),
        ({"tokens": "vector"}, "and that part is neither image, graph nor vector"),
    ],
)
def test_a_missing_modality_lists_what_is_there(modalities, message):
    with pytest.raises(ConfigError) as caught:
        ActorCriticNetwork(SPACE, ACTION, ModelConfig(modalities=modalities))
    assert message in str(caught.value)
    assert "there are {camera: image, deep/speed: vector, tokens: -}" in str(caught.value)


def test_an_observation_without_parts_has_no_modalities():
    with pytest.raises(ConfigError, match=r"observations are no Dict of parts: Box\(3,\)"):
        ActorCriticNetwork(spaces.Box(-1, 1, (3,)), ACTION, architecture("gcn")())


def test_parts_deeper_down_and_of_all_forms_are_vectors():
    space = spaces.Dict(
        deep=spaces.Dict(speed=spaces.Box(-1, 1, (2, 2)), gear=spaces.Discrete(3)),
        bits=spaces.Box(0, 1, (4,), np.uint8),
        other=spaces.Box(-1, 1, (9,)),
    )
    modalities = {"deep/speed": "vector", "deep/gear": "vector", "bits": "vector"}
    net = ActorCriticNetwork(space, ACTION, ModelConfig(modalities=modalities))
    assert net.layout.size == 4 + 3 + 4
    parts = {
        "obs/deep/speed": torch.ones(2, 2, 2),
        "obs/deep/gear": torch.tensor([1, 2]),
        "obs/bits": torch.ones(2, 4, dtype=torch.uint8),
        "obs/other": torch.full((2, 9), torch.nan),
    }
    assert net.policy(parts).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": {}}, "modalities = {} reads nothing"),
        ({"modalities": {"a": "sound"}}, "modalities.a = 'sound'"),
        (
            {"modalities": {"a": "vector"}, "fcnet_hiddens": [8]},
            "fcnet_hiddens = (8,) has no effect with mod",
        ),
        (
            {"modalities": {"a": "vector"}, "state_only": True},
            "state_only = True has no effect with modalities",
        ),
        ({"features_dim": 7}, "features_dim = 7 has no effect without modalities"),
        ({"fusion": {"kind": "adaptive"}}, "has no effect without modalities"),
        ({"graph": {"kind": "gnc"}}, "graph.kind = 'gnc'"),
        ({"graph": {"layers": 2}}, "graph.layers: unknown key; did you mean 'num_layers'"),
        ({"graph": {"kind": "gcn", "num_heads": 4}}, "num_heads = 4 has no effect with kind = gcn"),
        ({"graph": {"kind": "gcn", "edge_types": True}}, "edge_types = true has no effect with kind = gcn"),
        ({"graph": {"kind": "gat", "hidden_dim": 20}}, "hidden_dim = 20 is no multiple of num_heads = 8"),
        ({"graph": {"kind": "hgt", "edge_types": False}}, "edge_types = false does not go with kind = hgt"),
        ({"graph": {"kind": "gat", "dropout": 0.1}}, "dropout = 0.1 is not supported"),
        ({"fusion": {"kind": "multi_head", "num_heads": 1}}, "num_heads = 1 is kind = single_head"),
        ({"fusion": {"kind": "multi_head", "width": 12}}, "width = 12 is no multiple of num_heads = 8"),
        ({"fusion": {"num_heads": 2}}, "num_heads = 2 has no effect with kind = concat"),
        ({"visual": {"conv_filters": []}}, "visual.conv_filters"),
    ],
)
def test_options_that_are_wrong_or_contradict_are_named(options, message):
    with pytest.raises(ConfigError) as caught:
        ModelConfig.from_rllib(options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vision_free", {"visual": {"output_dim": 64}}, "has no effect: nothing is read as image"),
        (
            "full_hgt",
            {"modalities": {"player_frame": "image"}, "graph": {"num_layers": 9}},
            "'num_layers': 9, ",
        ),
        ("gcn", {"modalities": {"graph": "graph"}, "state": {"output_dim": 8}}, "nothing is read as vector"),
        ("gcn", {"fusion": {"width": 64}}, "fusion.width = 64 has no effect with kind = concat"),
    ],
)
def test_options_without_effect_on_an_architecture_are_refused(name, options, message):
    with pytest.raises(ConfigError) as caught:
        model_config(name, options)
    assert message in str(caught.value)


def test_what_an_architecture_has_by_itself_may_be_without_effect():
    made = model_config("simplified_hgt", {"modalities": {"graph": "graph"}, "fusion": {"kind": "concat"}})
    assert made["visual"]["output_dim"] == 128


def test_edge_types_that_are_not_there_cannot_be_asked_for(parts):
    space = level_space()
    del space["graph"].spaces["edge_types"]
    ActorCriticNetwork(space, ACTION, ModelConfig.from_rllib(model_config("gat", SMALL)))
    asked = model_config("gat", SMALL | {"graph": SMALL["graph"] | {"edge_types": True}})
    ActorCriticNetwork(level_space(), ACTION, ModelConfig.from_rllib(asked))
    with pytest.raises(
        ConfigError, match="edge_types = true has no effect: obs/graph has no array edge_types"
    ):
        ActorCriticNetwork(space, ACTION, ModelConfig.from_rllib(asked))


def test_sacs_critics_read_no_modalities():
    with pytest.raises(ConfigError, match="the critics of SAC read vectors"):
        squashed(architecture("gcn")(), ACTION)
    assert greedy(architecture("gcn")(), ACTION).vf_share_layers


@pytest.mark.parametrize(
    ("key", "box", "message"),
    [
        ("node_types", spaces.Box(0, 5, (7,), np.uint8), "obs/graph/node_types: has shape (7,)"),
        ("edge_index", spaces.Box(0, 5, (40, 2), np.int32), "obs/graph/edge_index: has shape (40, 2)"),
        ("edge_types", spaces.Box(0, 5, (40,), np.float32), "obs/graph/edge_types: is of float32"),
        ("focus", spaces.Discrete(3), "obs/graph/focus: an array of a graph is a Box"),
        ("weights", spaces.Box(0, 5, (40,)), "obs/graph: a graph has no weights"),
    ],
)
def test_a_graph_of_another_form_is_refused(key, box, message):
    space = level_space()
    space["graph"].spaces[key] = box
    with pytest.raises(SpaceError) as caught:
        ActorCriticNetwork(space, ACTION, architecture("gcn")())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("end", "message"),
    [(12, "an edge names the node 12; nodes: 0 to 11"), (10, "the node 10; nodes: those of node_mask")],
)
def test_an_edge_to_nowhere_is_an_error(parts, end, message):
    parts["obs/graph/edge_index"][0, 1, 0] = end
    with pytest.raises(DataError) as caught:
        small("gcn").policy(parts)
    assert re.search(message.replace("; ", ".*"), str(caught.value), re.DOTALL)


@pytest.mark.parametrize("kind", ["gcn", "gat", "full_hgt", "simplified_hgt"])
@pytest.mark.parametrize(("part", "wrong", "most"), [("node_types", 6, 5), ("edge_types", 200, 3)])
def test_a_type_beyond_the_space_is_an_error(parts, kind, part, wrong, most):
    network = small(kind)
    parts[f"obs/graph/{part}"][0, -1] = wrong  # padding, which nobody reads
    network.policy(parts)
    parts[f"obs/graph/{part}"][1, 0] = wrong
    with pytest.raises(DataError) as caught:
        network.policy(parts)
    assert str(caught.value) == f"obs/graph/{part}: there is no type {wrong}\n  types: 0 to {most}"


def test_images_of_a_plain_network_are_read_where_it_has_convolutions(parts):
    net = ActorCriticNetwork(
        level_space(), ACTION, architecture("mlp_baseline")(conv_filters=[[4, 3, 2]], state_only=True)
    )
    before = net.policy(parts)
    assert not torch.equal(net.policy(changed(parts, "global_view")), before)
    assert torch.equal(net.policy(changed(parts, "graph")), before)


def test_a_plain_network_of_images_alone_reads_them():
    space = spaces.Dict(camera=spaces.Box(0, 255, (3, 3, 1), np.uint8))
    assert ActorCriticNetwork(space, ACTION, architecture("mlp_baseline")()).layout.size == 9
