"""Divergence from a reference: estimators, their gradients, and the coefficient at its ends."""

import math

import pytest
import torch
from pydantic import ValidationError

from rayrl.algorithms.ppo.kl import Coefficient, kl_loss, kl_values
from rayrl.algorithms.ppo.options import ReferenceKL


def test_each_estimator_on_one_ratio():
    # d = ln(0.75 / 0.5) = 0.4054651:  d;  d² / 2;  e^-d - 1 + d = 2/3 - 1 + d
    d = torch.tensor([math.log(1.5)], dtype=torch.float64)
    assert kl_values("k1", d).item() == pytest.approx(0.4054651)
    assert kl_values("k2", d).item() == pytest.approx(0.0822010)
    assert kl_values("k3", d).item() == pytest.approx(0.0721318)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_estimators_agree_with_the_exact_divergence_in_the_mean(estimator):
    # Σ π(a) k(a), where a was drawn by another policy: each row counts with π / π_b.
    logp, reference, drawn = (torch.log(torch.tensor(p)) for p in ([0.7, 0.3], [0.4, 0.6], [0.5, 0.5]))
    values = kl_loss(estimator, logp - reference, torch.exp(logp - drawn))
    exact = 0.7 * math.log(0.7 / 0.4) + 0.3 * math.log(0.3 / 0.6)
    assert (0.5 * values).sum().item() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_the_gradient_is_the_divergences(estimator):
    logits = torch.tensor([0.3, -0.2, 1.1], dtype=torch.float64, requires_grad=True)
    reference = torch.log_softmax(torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64), 0)
    drawn = torch.log_softmax(torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64), 0)
    logp = torch.log_softmax(logits, 0)
    (exact,) = torch.autograd.grad((logp.exp() * (logp - reference)).sum(), logits, retain_graph=True)
    values = kl_loss(estimator, logp - reference, torch.exp(logp - drawn))
    (estimated,) = torch.autograd.grad((drawn.exp() * values).sum(), logits)
    torch.testing.assert_close(estimated, exact)


@pytest.mark.parametrize(
    ("schedule", "quarter", "half"),
    # cosine: 0.1 + 0.4 (1 + cos(π x)) / 2 at x = 1/4 and 1/2
    [("linear", 0.4, 0.3), ("cosine", 0.1 + 0.2 * (1 + math.sqrt(0.5)), 0.3), ("constant", 0.5, 0.5)],
)
@pytest.mark.parametrize("unit", ["env_steps", "gradient_steps"])
def test_the_coefficient_ends_at_its_final_value_and_stays_there(schedule, quarter, half, unit):
    options = ReferenceKL(initial=0.5, final=0.1, schedule=schedule, decay_steps=400, unit=unit)
    coefficient = Coefficient(options)
    seen = []
    for step in (0, 100, 200, 400, 401, 10**9):
        coefficient.read(*((step, 7) if unit == "env_steps" else (7, step)))
        seen.append(coefficient.value)
    last = 0.5 if schedule == "constant" else 0.1
    assert seen[0] == 0.5
    assert seen[1:3] == pytest.approx([quarter, half])
    assert seen[3:] == [last] * 3


@pytest.mark.parametrize(
    ("kl", "steps", "value"),
    # 0.3 (1 + clip(kl / 0.05 - 1, ±0.2) n / 10,000)
    [
        (0.055, 2000, 0.3 * 1.02),
        (0.5, 2000, 0.3 * 1.04),
        (0.0, 2000, 0.3 * 0.96),
        (0.05, 2000, 0.3),
        (0.0, 10**6, 0.15),
        (math.nan, 2000, 0.3),
    ],
)
def test_the_adaptive_coefficient(kl, steps, value):
    coefficient = Coefficient(ReferenceKL(schedule="adaptive", target=0.05, initial=0.3))
    coefficient.adapt(kl, steps)
    coefficient.read(10**6, 10**6)
    assert coefficient.value == pytest.approx(value)
    fixed = Coefficient(ReferenceKL())
    fixed.adapt(kl, steps)
    assert fixed.value == 0.3


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "adaptive"},
        {"target": 0.1},
        {"schedule": "adaptive", "target": 0.1, "initial": 0},
        {"initial": -1},
        {"estimator": "k4"},
        {"added_to": "both"},
        {"decay_steps": 0},
    ],
)
def test_options_that_do_not_fit(options):
    with pytest.raises(ValidationError):
        ReferenceKL(**options)
