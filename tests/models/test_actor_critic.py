"""The actor-critic as networks and as an RLModule."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from rayrl.errors import ConfigError, DataError, PolicyError, SpaceError
from rayrl.models.actor_critic import ActorCritic, module_spec
from rayrl.models.actor_critic_network import ActorCriticNetwork
from rayrl.models.distributions import MASKED_LOGIT
from rayrl.models.model_config import UNSUPPORTED, ModelConfig

BOX = spaces.Box(-1, 1, (4,))
NESTED = spaces.Dict(
    position=spaces.Box(-1, 1, (3,)),
    sensors=spaces.Dict(mode=spaces.Discrete(4, start=2), camera=spaces.Box(0, 255, (10, 10, 3), np.uint8)),
    action_mask=spaces.Box(0, 1, (5,), np.int8),
)
CONFIGS = {
    "default": {},
    "shared": {"vf_share_layers": True},
    "heads": {"fcnet_hiddens": [16], "head_fcnet_hiddens": [8, 7]},
    "normalized": {"normalize_observations": True, "fcnet_use_layernorm": True},
    "no hidden layers": {"fcnet_hiddens": []},
}
CONV = {"conv_filters": [[4, 5, 2], [8, [3, 3], 1, "valid"]], "fcnet_hiddens": [32]}


def build(observation_space=BOX, action_space=None, model_config=None, **options):
    spec = RLModuleSpec(
        module_class=ActorCritic,
        observation_space=observation_space,
        action_space=action_space or spaces.Discrete(5),
        model_config=model_config or {},
        **options,
    )
    return spec.build()


def observations(space, rows=6, seed=0):
    """A batch as RLlib gives it: a tensor, or nested dicts of tensors; masks allow the first action."""
    batched = gym.vector.utils.batch_space(space, rows)
    batched.seed(seed)
    sample = batched.sample()
    if isinstance(sample, dict) and "action_mask" in sample:
        sample["action_mask"][:, 0] = 1
    return tensors(sample)


def tensors(value):
    if isinstance(value, dict):
        return {key: tensors(part) for key, part in value.items()}
    return torch.as_tensor(value)


def nested_parts(batch):
    return {
        "obs/position": batch["position"],
        "obs/sensors/mode": batch["sensors"]["mode"],
        "obs/sensors/camera": batch["sensors"]["camera"],
        "obs/action_mask": batch["action_mask"],
    }


@pytest.mark.parametrize("model_config", [*CONFIGS.values(), CONV], ids=[*CONFIGS, "convolutions"])
def test_rllibs_methods_and_the_direct_ones_agree_on_nested_observations(model_config):
    module = build(NESTED, model_config=model_config)
    assert isinstance(module, TorchRLModule)
    obs = observations(NESTED)
    parts, batch = nested_parts(obs), {"obs": obs}
    inputs, values = module.policy_and_value(parts)
    assert inputs.shape == (6, 5)
    assert values.shape == (6,)
    assert torch.equal(module.policy(parts), inputs)
    assert torch.equal(module.value(parts), values)
    trained = module.forward_train(batch)
    assert torch.equal(trained["action_dist_inputs"], inputs)
    assert torch.equal(module.compute_values(batch, trained["embeddings"]), values)
    assert torch.equal(module.compute_values(batch), values)
    for forward in (module.forward_exploration, module.forward_inference):
        assert torch.equal(forward(batch)["action_dist_inputs"], inputs)


def test_the_networks_by_hand_on_a_vector():
    module = build(model_config={"fcnet_hiddens": [8, 8]})
    x = observations(BOX)
    first, second = module.network.encoder.mlp.linears
    hidden = torch.tanh(second(torch.tanh(first(x))))
    torch.testing.assert_close(module.policy({"obs": x}), module.network.policy_head.linears[0](hidden))
    first, second = module.network.value_encoder.mlp.linears
    hidden = torch.tanh(second(torch.tanh(first(x))))
    expected = module.network.value_head.linears[0](hidden)[:, 0]
    torch.testing.assert_close(module.value({"obs": x}), expected)


def test_float64_and_integer_observations_are_read():
    module, x = build(), torch.tensor([[1, 0, -1, 2]])
    expected = module.policy({"obs": x.float()})
    assert torch.equal(module.policy({"obs": x}), expected)
    assert torch.equal(module.policy({"obs": x.double()}), expected)


@pytest.mark.parametrize(("share", "shared"), [(False, False), (True, True)])
def test_whether_policy_and_value_share_layers(share, shared):
    module = build(model_config={"vf_share_layers": share})
    module.value({"obs": observations(BOX)}).sum().backward()
    assert (module.network.encoder.mlp.linears[0].weight.grad is not None) == shared


@pytest.mark.parametrize("model_config", CONFIGS.values(), ids=CONFIGS)
def test_inference_only_modules_get_exactly_what_they_need(model_config):
    module = build(NESTED, model_config=model_config)
    runner = build(NESTED, model_config=model_config, inference_only=True)
    shipped = module.get_state(inference_only=True)
    assert shipped.keys() == runner.state_dict().keys()
    assert not [name for name in shipped if "value" in name]
    batch = {"obs": observations(NESTED)}
    for state in (shipped, module.get_state()):
        runner.set_state({name: np.zeros_like(value) for name, value in shipped.items()})
        runner.set_state(state)
        expected = module.forward_exploration(batch)["action_dist_inputs"]
        assert torch.equal(runner.forward_exploration(batch)["action_dist_inputs"], expected)


@pytest.mark.parametrize("inference_only", [False, True])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("network.encoder.mlp.linears.0.bias"),
        lambda state: state.update(other=np.zeros(3, np.float32)),
        lambda state: state.update({"network.policy_head.linears.0.bias": np.zeros(9, np.float32)}),
    ],
    ids=["missing", "unexpected", "shape"],
)
def test_states_that_do_not_fit_change_nothing_and_raise(inference_only, spoil):
    module = build(inference_only=inference_only)
    before = module.get_state()
    state = build().get_state()
    spoil(state)
    with pytest.raises(PolicyError, match="the weights do not fit"):
        module.set_state(state)
    after = module.get_state()
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_a_full_module_refuses_an_inference_only_state():
    module = build()
    with pytest.raises(PolicyError, match=r"missing: network\.value_encoder"):
        module.set_state(module.get_state(inference_only=True))


def test_states_are_copies_and_read_only_arrays_are_taken():
    module, other = build(), build()
    state = module.get_state()
    for value in state.values():
        value.flags.writeable = False
    other.set_state(state)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert state["network.encoder.mlp.linears.0.weight"].any()
    assert other.policy({"obs": observations(BOX)}).any()


def test_moments_keep_their_precision_through_state_and_checkpoint(tmp_path):
    config = {"normalize_observations": True}
    module, other = build(model_config=config), build(model_config=config)
    rows = {"obs": torch.rand(1000, 4, dtype=torch.float64)}
    module.normalizer.update_from_moments(module.normalizer.moments(rows))
    state = module.get_state()
    assert state["network.normalizer.mean"].dtype == np.float64
    module.save_to_path(tmp_path / "module")
    other.restore_from_path(tmp_path / "module")
    restored = other.get_state()
    assert all(np.array_equal(restored[name], state[name]) for name in state)
    x = {"obs": observations(BOX)}
    assert torch.equal(other.policy(x), module.policy(x))


def test_the_normalizer_changes_what_the_networks_see():
    module = build(model_config={"normalize_observations": True})
    x = {"obs": torch.tensor([[3.0, 1.0, 0.0, 5.0]])}
    before = module.policy(x)
    assert torch.equal(before, build_like(module, {"normalize_observations": False}).policy(x))
    module.normalizer.update_from_moments(module.normalizer.moments({"obs": torch.randn(50, 4) + 4}))
    standardized = {"obs": module.normalizer(x)}
    torch.testing.assert_close(
        module.policy(x), build_like(module, {"normalize_observations": False}).policy(standardized)
    )
    assert not torch.equal(module.policy(x), before)


def build_like(module, changes):
    other = build(model_config=changes)
    state = module.get_state()
    other.set_state({name: value for name, value in state.items() if "normalizer" not in name})
    return other


def test_copies_and_pickles_stand_alone():
    module, x = build(model_config=CONFIGS["normalized"]), {"obs": observations(BOX)}
    expected = module.policy(x)
    copies = [copy.deepcopy(module), pickle.loads(pickle.dumps(module))]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    for other in copies:
        assert torch.equal(other.policy(x), expected)


def test_masked_actions_get_the_masked_logit_and_the_mask_is_no_input():
    space = spaces.Dict(x=BOX, action_mask=spaces.Box(0, 1, (5,), np.int8))
    module = build(space)
    assert module.network.encoder.mlp.linears[0].in_features == 4
    x = torch.randn(2, 4)
    free = module.policy({"obs/x": x, "obs/action_mask": torch.ones(2, 5, dtype=torch.int8)})
    mask = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.int8)
    masked = module.policy({"obs/x": x, "obs/action_mask": mask})
    assert torch.equal(masked, torch.where(mask.bool(), free, torch.tensor(MASKED_LOGIT)))
    with pytest.raises(DataError, match="obs/action_mask: an action mask forbids every action"):
        module.policy({"obs/x": x, "obs/action_mask": torch.zeros(2, 5)})


@pytest.mark.parametrize(
    ("action_space", "size", "message"),
    [
        (spaces.Discrete(5), 4, "the mask has 4 elements"),
        (spaces.MultiDiscrete([2, 3]), 6, "the mask has 6 elements"),
        (spaces.Box(-1, 1, (3,)), 3, "cannot be masked"),
        (spaces.MultiBinary(3), 3, "cannot be masked"),
    ],
)
def test_masks_that_fit_no_actions_are_refused(action_space, size, message):
    space = spaces.Dict(x=BOX, action_mask=spaces.Box(0, 1, (size,), np.int8))
    with pytest.raises(SpaceError, match=message):
        build(space, action_space)


def test_masks_of_several_discrete_actions():
    space = spaces.Dict(x=BOX, action_mask=spaces.Box(0, 1, (5,), np.int8))
    module = build(space, spaces.MultiDiscrete([2, 3]))
    inputs = module.policy({"obs/x": torch.randn(1, 4), "obs/action_mask": torch.tensor([[0, 1, 0, 0, 1]])})
    assert module.distribution.mode(inputs.detach().numpy()).tolist() == [[1, 2]]
    with pytest.raises(DataError, match="forbids every action"):
        module.policy({"obs/x": torch.randn(1, 4), "obs/action_mask": torch.tensor([[1, 1, 0, 0, 0]])})


def test_free_log_std_is_one_parameter_for_all_observations():
    module = build(action_space=spaces.Box(-1, 1, (2,)), model_config={"free_log_std": True})
    with torch.no_grad():
        module.network.log_std.copy_(torch.tensor([0.5, -0.5]))
    inputs = module.policy({"obs": torch.randn(3, 4)})
    assert inputs[:, 2:].tolist() == [[0.5, -0.5]] * 3
    module.distribution.entropy(inputs).sum().backward()
    assert module.network.log_std.grad.tolist() == [3, 3]
    with pytest.raises(ConfigError, match="free_log_std = true needs Box actions"):
        build(model_config={"free_log_std": True})


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_unsupported_keys_raise_where_rllib_builds_the_module(key):
    with pytest.raises(ConfigError, match=f"{key} = 'other' is not supported"):
        build(model_config={key: "other"})


def test_rllibs_default_model_config_builds():
    module = build(model_config=DefaultModelConfig(fcnet_hiddens=[32]))
    assert module.network.config.vf_share_layers
    assert module.network.encoder.output_size == 32


def test_module_spec_builds_the_same_module():
    config = ModelConfig(fcnet_hiddens=[8], **{"conv_filters": None, "squash_actions": True})
    spec = module_spec(config)
    spec.observation_space, spec.action_space = BOX, spaces.Box(-1, 1, (2,))
    assert spec.build().network.config == config
    assert RLModuleSpec.from_dict(spec.to_dict()).build().network.config == config


@pytest.mark.parametrize(
    ("action_space", "model_config"),
    [
        (spaces.Discrete(3, start=4), {}),
        (spaces.MultiDiscrete([2, 3]), {}),
        (spaces.MultiBinary(3), {}),
        (spaces.Box(-2, 2, (2,)), {"squash_actions": True}),
        (spaces.Box(-2, 2, (2,)), {"log_std_clip_param": 0.001}),
    ],
)
def test_what_rllibs_own_losses_get_is_the_same_distribution(action_space, model_config):
    module = build(action_space=action_space, model_config=model_config)
    inputs = module.policy({"obs": torch.randn(7, 4)})
    other = module.policy({"obs": torch.randn(7, 4)})
    family = module.distribution
    for get in (
        module.get_train_action_dist_cls,
        module.get_exploration_action_dist_cls,
        module.get_inference_action_dist_cls,
    ):
        cls = get()
        p, q = cls.from_logits(inputs), cls.from_logits(other)
        torch.manual_seed(3)
        actions = p.sample()
        torch.manual_seed(3)
        assert torch.equal(p.sample(), actions)
        assert not torch.equal(p.sample(sample_shape=(50,))[7], p.sample(sample_shape=(50,))[7])
        assert torch.equal(p.logp(actions), family.logp(inputs, actions))
        assert torch.equal(p.entropy(), family.entropy(inputs))
        assert torch.equal(p.kl(q), family.kl(inputs, other))
        mode = family.mode(inputs.detach().numpy())
        assert np.array_equal(p.to_deterministic().sample().numpy(), mode)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_rllibs_own_runner_samples_with_the_module(env):
    config = PPOConfig().environment(env).env_runners(num_env_runners=0, num_envs_per_env_runner=2)
    config.rl_module(rl_module_spec=module_spec(ModelConfig()))
    runner = SingleAgentEnvRunner(config=config)
    try:
        assert runner.module.inference_only
        episodes = runner.sample(num_timesteps=20)
        for episode in episodes:
            logp = runner.module.distribution.logp(
                torch.tensor(episode.get_extra_model_outputs("action_dist_inputs")),
                torch.tensor(episode.get_actions()),
            )
            np.testing.assert_allclose(episode.get_extra_model_outputs("action_logp"), logp, rtol=1e-5)
    finally:
        runner.stop()


def test_the_network_needs_no_rllib_to_be_built():
    network = ActorCriticNetwork(BOX, spaces.Discrete(2), ModelConfig(), inference_only=True)
    assert network.policy({"obs": torch.zeros(3, 4)}).shape == (3, 2)
