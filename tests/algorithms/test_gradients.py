import pytest
import torch

from rayrl.algorithms.gradients import FlatGradient, LossScale


def parameters(*gradients):
    """Parameters of zeros, and a flat gradient that holds the given numbers."""
    made = [torch.nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    flat = FlatGradient(made)
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad.copy_(torch.tensor(gradient))
    return made, flat


def test_gradients_are_views_of_one_tensor():
    made = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(3))]
    flat = FlatGradient(made)
    (2 * made[0].sum() + 3 * made[1].sum()).backward()
    assert flat.flat.tolist() == [2, 2, 2, 2, 3, 3, 3]
    flat.zero()
    (made[0].sum() + made[1].sum()).backward()
    assert flat.flat.tolist() == [1] * 7


def test_clipping_by_norm_scales_all_gradients_alike():
    # ‖(3, 0, 4)‖ = 5, clipped to 1: everything is divided by 5.
    made, flat = parameters([3.0, 0.0], [4.0])
    norm, not_finite = flat.clip(1.0)
    assert (norm.item(), not_finite.item()) == (5.0, 0.0)
    assert made[0].grad.tolist() == pytest.approx([0.6, 0.0])
    assert made[1].grad.tolist() == pytest.approx([0.8])


def test_a_small_gradient_is_not_scaled_up():
    made, flat = parameters([0.3, 0.4])
    assert flat.clip(1.0)[0].item() == pytest.approx(0.5)
    assert made[0].grad.tolist() == pytest.approx([0.3, 0.4])


def test_clipping_by_value_bounds_each_element():
    made, flat = parameters([3.0, -0.5], [-4.0])
    norm, _ = flat.clip(None, 1.0)
    assert norm.item() == pytest.approx(25.25**0.5)
    assert (made[0].grad.tolist(), made[1].grad.tolist()) == ([1.0, -0.5], [-1.0])


def test_no_clipping():
    made, flat = parameters([30.0, 40.0])
    assert flat.clip(None)[0].item() == 50.0
    assert made[0].grad.tolist() == [30.0, 40.0]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_gradient_that_is_not_finite_is_told(number):
    _, flat = parameters([1.0], [number, 2.0])
    assert flat.clip(1.0)[1].item() == 1.0


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
def test_fused_optimizers_leave_out_a_step_whose_found_inf_is_set(optimizer):
    # What the learner relies on: PyTorch reads the attribute that its gradient scaler sets.
    parameter = torch.nn.Parameter(torch.ones(3))
    fused = optimizer([parameter], lr=0.1, weight_decay=0.1, fused=True)
    parameter.grad = torch.ones(3)
    fused.found_inf = torch.tensor(0.0)
    fused.step()
    before = parameter.detach().clone(), {k: v.clone() for k, v in fused.state[parameter].items()}
    assert not torch.equal(before[0], torch.ones(3))

    parameter.grad.fill_(float("nan"))
    fused.found_inf = torch.tensor(1.0)
    fused.step()
    assert torch.equal(parameter, before[0])
    assert all(torch.equal(fused.state[parameter][k], v) for k, v in before[1].items())


def test_the_loss_scale_halves_at_once_and_doubles_after_enough_finite_steps():
    scale = LossScale(torch.device("cpu"), initial=8.0, growth_interval=3)
    finite, overflow = torch.tensor(0.0), torch.tensor(1.0)
    seen = []
    for found_inf in (finite, finite, finite, finite, overflow, finite, finite, overflow):
        scale.update(found_inf)
        seen.append((scale.scale.item(), scale.finite_steps.item()))
    # Two steps wait, the third doubles and starts the count again; an overflow halves and does so too.
    assert seen == [(8, 1), (8, 2), (16, 0), (16, 1), (8, 0), (8, 1), (8, 2), (4, 0)]


def test_the_loss_scale_comes_back():
    scale, other = LossScale(torch.device("cpu"), 8.0), LossScale(torch.device("cpu"))
    scale.update(torch.tensor(0.0))
    other.set_state(scale.get_state())
    assert other.get_state() == {"scale": 8.0, "finite_steps": 1.0}
