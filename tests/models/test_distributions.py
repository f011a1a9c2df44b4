"""Distributions against numbers worked out by hand, torch.distributions and RLlib."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.utils.spaces.space_utils import clip_action, unsquash_action
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal, kl_divergence

from rayrl.errors import SpaceError
from rayrl.models.distributions import (
    MASKED_LOGIT,
    Bernoulli,
    Categorical,
    DiagGaussian,
    MultiCategorical,
    SquashedGaussian,
    action_distribution,
)


def box(low, high, dtype=np.float32):
    return spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


SPACES = [
    spaces.Discrete(3),
    spaces.Discrete(4, start=-2),
    spaces.MultiDiscrete([3, 3]),
    spaces.MultiDiscrete([2, 4, 3], start=[5, 0, -1]),
    spaces.MultiDiscrete([[2, 3], [3, 2]]),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 2]),
    spaces.Box(-1, 1, (2,)),
    box([[0.0, -3.0]], [[1.0, 5.0]], np.float64),
]
# Odds 1 : 2 : 5, so that the probabilities are 1/8, 2/8 and 5/8.
LOGITS = torch.tensor([[math.log(1), math.log(2), math.log(5)]])


def distributions():
    for space in SPACES:
        yield pytest.param(action_distribution(space), id=str(space))
    yield pytest.param(action_distribution(SPACES[-1], squashed=True), id="squashed")


def random_inputs(distribution, rows, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, distribution.input_size), dtype=np.float32)


@pytest.mark.parametrize("distribution", distributions())
def test_samples_belong_to_the_space_and_have_a_probability(distribution):
    generator = np.random.default_rng(1)
    inputs = random_inputs(distribution, 64)
    noise = distribution.noise(generator, (5, 64))
    assert noise.shape == (5, 64, distribution.noise_size)
    assert noise.dtype == np.float32
    for actions in (distribution.sample(inputs, noise[3]), distribution.mode(inputs)):
        for action in distribution.to_env(actions):
            assert distribution.space.contains(action)
        logp = distribution.logp(torch.as_tensor(inputs), torch.as_tensor(actions))
        assert logp.shape == (64,)
        assert logp.dtype == torch.float32
        assert logp.isfinite().all()
    assert np.array_equal(distribution.sample(inputs, noise[3]), distribution.sample(inputs, noise[3]))


@pytest.mark.parametrize("distribution", distributions())
def test_divergence_from_itself_is_zero_and_from_others_positive(distribution):
    p = torch.as_tensor(random_inputs(distribution, 32))
    q = torch.as_tensor(random_inputs(distribution, 32, seed=1))
    torch.testing.assert_close(distribution.kl(p, p), torch.zeros(32), atol=1e-6, rtol=0)
    assert (distribution.kl(p, q) > 0).all()


@pytest.mark.parametrize("distribution", distributions())
def test_divergence_and_entropy_are_expectations_of_log_probabilities(distribution):
    rows = 200_000
    p = np.repeat(random_inputs(distribution, 1), rows, 0)
    q = np.repeat(random_inputs(distribution, 1, seed=1), rows, 0)
    actions = distribution.sample(p, distribution.noise(np.random.default_rng(2), (rows,)))
    p, q, actions = map(torch.as_tensor, (p, q, actions))
    logp, logq = distribution.logp(p, actions), distribution.logp(q, actions)
    for exact, estimates in [(distribution.kl(p, q), logp - logq), (distribution.entropy(p), -logp)]:
        error = 5 * estimates.std() / math.sqrt(rows) + 1e-5
        assert abs(exact[0] - estimates.mean()) < error


@pytest.mark.parametrize("distribution", distributions())
def test_low_precision_inputs_are_computed_in_float32(distribution):
    inputs = torch.as_tensor(random_inputs(distribution, 4)).bfloat16()
    actions = torch.as_tensor(distribution.mode(inputs.float().numpy()))
    for value in (
        distribution.logp(inputs, actions),
        distribution.entropy(inputs),
        distribution.kl(inputs, inputs),
    ):
        assert value.dtype == torch.float32


def test_categorical_by_hand():
    distribution = Categorical(spaces.Discrete(3, start=1))
    logp = distribution.logp(LOGITS.repeat(3, 1), torch.tensor([1, 2, 3]))
    torch.testing.assert_close(logp.exp(), torch.tensor([1 / 8, 2 / 8, 5 / 8]))
    # −(1/8 log 1/8 + 1/4 log 1/4 + 5/8 log 5/8)
    entropy = (3 / 8) * math.log(2) + (2 / 4) * math.log(2) - (5 / 8) * math.log(5 / 8)
    assert distribution.entropy(LOGITS).item() == pytest.approx(entropy)
    # KL to the uniform distribution is log 3 − H.
    assert distribution.kl(LOGITS, torch.zeros(1, 3)).item() == pytest.approx(math.log(3) - entropy)
    np.testing.assert_allclose(distribution.probabilities(LOGITS.numpy()), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-6)


def test_categorical_sampling_is_argmax_of_logits_and_noise():
    distribution = Categorical(spaces.Discrete(3, start=10))
    inputs = np.array([[0, 1, 0], [0, 1, 0]], np.float32)
    noise = np.array([[0, 0, 0], [2, 0, 0]], np.float32)
    assert distribution.sample(inputs, noise).tolist() == [11, 10]
    assert distribution.mode(inputs).tolist() == [11, 11]


@pytest.mark.parametrize("start", [0, 2])
def test_categorical_frequencies(start):
    distribution = Categorical(spaces.Discrete(3, start=start))
    rows = 80_000
    noise = distribution.noise(np.random.default_rng(0), (rows,))
    actions = distribution.sample(np.repeat(LOGITS.numpy(), rows, 0), noise)
    # Counts are binomial: the standard error of a frequency is at most 0.5 / sqrt(rows) = 0.0018.
    np.testing.assert_allclose(
        np.bincount(actions - start) / rows, [1 / 8, 2 / 8, 5 / 8], atol=5 * 0.5 / math.sqrt(rows)
    )


def test_masked_actions_are_never_taken_and_keep_everything_finite():
    distribution = Categorical(spaces.Discrete(3))
    logits = torch.tensor([[1.0, MASKED_LOGIT, 2.0]], requires_grad=True)
    other = torch.tensor([[2.0, MASKED_LOGIT, 1.0]])
    noise = distribution.noise(np.random.default_rng(0), (10_000,))
    actions = distribution.sample(np.repeat(logits.detach().numpy(), 10_000, 0), noise)
    assert set(actions) == {0, 2}
    # Two actions at odds e : 1 are a Bernoulli with logit 1.
    bernoulli = TorchBernoulli(logits=torch.tensor([1.0]))
    torch.testing.assert_close(distribution.entropy(logits), bernoulli.entropy())
    divergence = distribution.kl(logits, other)
    torch.testing.assert_close(
        divergence, kl_divergence(bernoulli, TorchBernoulli(logits=torch.tensor([-1.0])))
    )
    logp = distribution.logp(logits, torch.tensor([2]))
    (logp + distribution.entropy(logits) + divergence).sum().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 1] == 0


@pytest.mark.parametrize("sizes", [[3, 3], [2, 4, 3]])
def test_multi_categorical_is_a_product_of_categoricals(sizes):
    distribution = MultiCategorical(spaces.MultiDiscrete(sizes, start=[7] * len(sizes)))
    p = torch.as_tensor(random_inputs(distribution, 16))
    q = torch.as_tensor(random_inputs(distribution, 16, seed=1))
    actions = torch.as_tensor(distribution.mode(q.numpy()))
    ps = [TorchCategorical(logits=x) for x in p.split(sizes, 1)]
    qs = [TorchCategorical(logits=x) for x in q.split(sizes, 1)]
    logp = sum(x.log_prob(actions[:, i] - 7) for i, x in enumerate(ps))
    torch.testing.assert_close(distribution.logp(p, actions), logp)
    torch.testing.assert_close(distribution.entropy(p), sum(x.entropy() for x in ps))
    torch.testing.assert_close(distribution.kl(p, q), sum(map(kl_divergence, ps, qs)))


def test_multi_categorical_modes_by_hand():
    inputs = np.array([[0, 1, 5, 4, 3, 0, 2, 1]], np.float32)
    assert MultiCategorical(spaces.MultiDiscrete([2, 3, 3])).mode(inputs).tolist() == [[1, 0, 1]]
    assert MultiCategorical(spaces.MultiDiscrete([4, 4])).mode(inputs).tolist() == [[2, 0]]
    nested = MultiCategorical(spaces.MultiDiscrete([[2, 2], [2, 2]], start=[[0, 0], [0, 9]]))
    assert nested.mode(inputs).tolist() == [[[1, 0], [0, 9]]]


def test_bernoulli_by_hand():
    distribution = Bernoulli(spaces.MultiBinary(2))
    # Odds 3 : 1 and 1 : 4, so that a 1 has the probabilities 3/4 and 1/5.
    inputs = torch.tensor([[math.log(3), math.log(1 / 4)]])
    assert distribution.logp(inputs, torch.tensor([[1, 0]])).item() == pytest.approx(math.log(3 / 4 * 4 / 5))
    p = TorchBernoulli(logits=inputs)
    q = TorchBernoulli(logits=torch.tensor([[0.5, -3.0]]))
    torch.testing.assert_close(distribution.entropy(inputs), p.entropy().sum(-1))
    torch.testing.assert_close(distribution.kl(inputs, q.logits), kl_divergence(p, q).sum(-1))
    rows = 80_000
    noise = distribution.noise(np.random.default_rng(0), (rows,))
    bits = distribution.sample(np.repeat(inputs.numpy(), rows, 0), noise)
    np.testing.assert_allclose(bits.mean(0), [3 / 4, 1 / 5], atol=5 * 0.5 / math.sqrt(rows))


def test_gaussian_by_hand():
    distribution = DiagGaussian(spaces.Box(-1, 1, (2,)))
    # μ = (1, −1), σ = (1, e)
    inputs = torch.tensor([[1.0, -1.0, 0.0, 1.0]])
    noise = np.array([[0.5, -2.0]], np.float32)
    actions = distribution.sample(inputs.numpy(), noise)
    np.testing.assert_allclose(actions, [[1.5, -1 - 2 * math.e]], rtol=1e-6)
    # −½ (0.5² + 2²) − (0 + 1) − 2 · ½ log 2π
    logp = -0.5 * 4.25 - 1 - math.log(2 * math.pi)
    assert distribution.logp(inputs, torch.as_tensor(actions)).item() == pytest.approx(logp)
    # 2 · ½ log 2πe + (0 + 1)
    assert distribution.entropy(inputs).item() == pytest.approx(math.log(2 * math.pi) + 2)


def test_gaussian_divergence_is_torchs():
    distribution = DiagGaussian(spaces.Box(-1, 1, (3,)))
    p = torch.as_tensor(random_inputs(distribution, 8))
    q = torch.as_tensor(random_inputs(distribution, 8, seed=1))
    normals = [Independent(Normal(x[:, :3], x[:, 3:].exp()), 1) for x in (p, q)]
    torch.testing.assert_close(distribution.kl(p, q), kl_divergence(*normals))


def test_log_std_is_clipped_wherever_it_is_used():
    distribution = DiagGaussian(spaces.Box(-1, 1, (1,)), log_std_clip=1.0)
    far, bound = torch.tensor([[0.0, 30.0]]), torch.tensor([[0.0, 1.0]])
    noise = np.ones((1, 1), np.float32)
    action = torch.tensor([[0.3]])
    assert distribution.sample(far.numpy(), noise)[0, 0] == pytest.approx(math.e)
    assert distribution.sample(-far.numpy(), noise)[0, 0] == pytest.approx(1 / math.e)
    assert distribution.logp(far, action) == distribution.logp(bound, action)
    assert distribution.entropy(far) == distribution.entropy(bound)
    assert distribution.kl(far, bound) == 0


def test_squashed_density_by_hand_and_normalized():
    distribution = SquashedGaussian(spaces.Box(0, 10, (1,)))
    inputs = torch.tensor([[0.2, -0.5]])
    u = 0.7
    # log N(u; 0.2, e^−0.5) − log(1 − tanh² u)
    normal = -0.5 * ((u - 0.2) * math.exp(0.5)) ** 2 + 0.5 - 0.5 * math.log(2 * math.pi)
    logp = normal - math.log(1 - math.tanh(u) ** 2)
    action = torch.tensor([[math.tanh(u)]])
    assert distribution.logp(inputs, action).item() == pytest.approx(logp, rel=1e-5)
    grid = torch.linspace(-1, 1, 20_001)[1:-1, None]
    density = distribution.logp(inputs.expand(len(grid), 2), grid).exp()
    assert density.sum().item() * 2 / 20_000 == pytest.approx(1, abs=1e-4)


def test_squashed_saturation_stays_finite_and_within_bounds():
    distribution = SquashedGaussian(spaces.Box(-2, 2, (1,)))
    inputs = np.array([[50.0, 0.0], [-50.0, 0.0]], np.float32)
    actions = distribution.sample(inputs, np.zeros((2, 1), np.float32))
    assert (np.abs(actions) < 1).all()
    assert distribution.logp(torch.as_tensor(inputs), torch.as_tensor(actions)).isfinite().all()
    np.testing.assert_allclose(distribution.to_env(actions), [[2], [-2]], atol=1e-5)


@pytest.mark.parametrize(
    ("log_std", "tolerance"), [(-2.0, 1e-4), (0.0, 1e-4), (math.log(2), 1e-3), (2.0, 0.1)]
)
def test_squashed_entropy_against_fine_integration(log_std, tolerance):
    distribution = SquashedGaussian(spaces.Box(-1, 1, (1,)))
    mean, std = 0.4, math.exp(log_std)
    u = np.linspace(mean - 12 * std, mean + 12 * std, 2_000_001)
    density = np.exp(-0.5 * ((u - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    correction = np.trapezoid(density * 2 * (math.log(2) - u - np.logaddexp(0, -2 * u)), u)
    exact = 0.5 * math.log(2 * math.pi * math.e) + log_std + correction
    assert distribution.entropy(torch.tensor([[mean, log_std]])).item() == pytest.approx(exact, abs=tolerance)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize(
    "space",
    [
        box([0.0, -2.0], [1.0, 6.0]),
        box([0.0, -2.0], [1.0, 6.0], np.float64),
        box([0.0, -np.inf], [1.0, np.inf]),
    ],
    ids=["float32", "float64", "half bounded"],
)
def test_environments_get_what_rllib_would_give_them(space, normalize, clip):
    distribution = DiagGaussian(space, normalize_actions=normalize, clip_actions=clip)
    actions = np.array([[0.5, -0.25], [3.0, -7.0]], np.float32)
    expected = actions.copy()
    if normalize:
        expected = np.stack([unsquash_action(action, space) for action in actions])
    elif clip:
        expected = np.stack([clip_action(action, space) for action in actions])
    given = distribution.to_env(actions)
    assert given.dtype == space.dtype
    np.testing.assert_allclose(given, expected, rtol=1e-6)
    assert actions.tolist() == [[0.5, -0.25], [3.0, -7.0]]


def test_actions_of_demonstrations_come_back_from_the_environments_form():
    distribution = DiagGaussian(box([0.0, 3.0], [10.0, 3.0]))
    taken = np.array([[0.0, 3.0], [7.5, 3.0]], np.float32)
    # 7.5 of [0, 10] is half-way from the middle to the upper bound.
    assert distribution.from_env(taken)[:, 0].tolist() == [-1.0, 0.5]
    np.testing.assert_allclose(distribution.to_env(distribution.from_env(taken)), taken)


@pytest.mark.parametrize(
    ("space", "squashed", "match"),
    [
        (spaces.Text(3), False, "no action distribution"),
        (spaces.Dict(a=spaces.Discrete(2)), False, "no action distribution"),
        (spaces.Box(0, 5, (2,), np.int64), False, "Box of int64"),
        (spaces.Box(-np.inf, np.inf, (2,)), True, "finite bounds"),
        (spaces.Discrete(3), True, "only a Box"),
    ],
)
def test_other_spaces_are_refused(space, squashed, match):
    with pytest.raises(SpaceError, match=match):
        action_distribution(space, squashed=squashed)
