"""The smoothed loss against numbers worked out by hand."""

import math

import pytest
import torch

from rayrl.algorithms.bc.smoothing import smoothed_loss
from rayrl.models.distributions import MASKED_LOGIT


def test_a_share_of_the_target_is_spread_evenly():
    # π = 1/2, 1/4, 1/4; a = 0; ε = 0.3: 0.7 · ln 2 + 0.1 · (ln 2 + ln 4 + ln 4) = 0.7 ln 2 + 0.5 ln 2
    logits = torch.tensor([[2.0, 1.0, 1.0]]).log()
    nll = torch.tensor([math.log(2)])
    assert smoothed_loss(logits, nll, 0.3).item() == pytest.approx(1.2 * math.log(2), rel=1e-6)


def test_masked_actions_have_no_part_in_it():
    # Allowed are two of three: π = 2/3, 0, 1/3; a = 0: 0.7 · ln 1.5 + 0.15 · (ln 1.5 + ln 3)
    logits = torch.tensor([[math.log(2), MASKED_LOGIT, 0.0]])
    nll = torch.tensor([math.log(1.5)])
    expected = 0.7 * math.log(1.5) + 0.15 * (math.log(1.5) + math.log(3))
    assert smoothed_loss(logits, nll, 0.3).item() == pytest.approx(expected, rel=1e-6)


def test_its_gradient_is_that_of_the_cross_entropy_to_the_smoothed_target():
    # d/dlogits of −Σ q log softmax = softmax − q, with q = 0.7 + 0.1, 0.1, 0.1
    logits = torch.zeros(1, 3, requires_grad=True)
    nll = -torch.log_softmax(logits, -1)[:, 0]
    smoothed_loss(logits, nll, 0.3).sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[1 / 3 - 0.8, 1 / 3 - 0.1, 1 / 3 - 0.1]]))
