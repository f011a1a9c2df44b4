import copy
import math

import numpy as np
import pytest
import torch

from rayrl.models.normalizer import Normalizer


def vector(*rows):
    return {"obs": torch.tensor(rows, dtype=torch.float32)}


def updated(*batches):
    normalizer = Normalizer({"obs": (2,)})
    for batch in batches:
        normalizer.update_from_moments(normalizer.moments(batch))
    return normalizer


def test_moments_by_hand():
    normalizer = Normalizer({"obs": (2,)})
    # n = 2; Σx = (1 + 3, 10 + 14); Σx² = (1 + 9, 100 + 196)
    moments = normalizer.moments(vector([1, 10], [3, 14]))
    assert moments.tolist() == [2, 4, 24, 10, 296]
    normalizer.update_from_moments(moments)
    # mean = (2, 12); M2 = (1 + 1, 4 + 4)
    assert normalizer.count == 2
    assert normalizer.mean.tolist() == [2, 12]
    assert normalizer.m2.tolist() == [2, 8]
    # The next sums are about that mean: d = (6, −12).
    moments = normalizer.moments(vector([8, 0]))
    assert moments.tolist() == [1, 6, -12, 36, 144]
    normalizer.update_from_moments(moments)
    # mean = (12/3, 24/3); M2 = Σ(x − mean)² = (9 + 1 + 16, 4 + 36 + 64)
    assert normalizer.count == 3
    np.testing.assert_allclose(normalizer.mean, [4, 8], rtol=1e-12)
    np.testing.assert_allclose(normalizer.m2, [26, 104], rtol=1e-12)


def test_standardized_by_hand():
    normalizer = updated(vector([1, 10], [3, 14]))
    # mean = (2, 12), std = (1, 2)
    standardized = normalizer(vector([2.5, 8], [2, 12]))
    torch.testing.assert_close(standardized, torch.tensor([[0.5, -2.0], [0.0, 0.0]]))
    assert standardized.dtype == torch.float32


def test_standardized_values_are_clipped():
    normalizer = updated(vector([1, 10], [3, 14]))
    assert normalizer(vector([1000, -1000])).tolist() == [[10.0, -10.0]]


def test_nothing_changes_before_the_first_update_with_rows():
    normalizer = Normalizer({"obs": (2,)})
    batch = vector([1e6, -1e-20], [math.pi, 0.1])
    assert torch.equal(normalizer(batch), batch["obs"])
    normalizer.update_from_moments(torch.zeros(5, dtype=torch.float64))
    assert torch.equal(normalizer(batch), batch["obs"])


def test_sums_of_two_learners_equal_those_of_one():
    start = vector([5, 5], [7, 1])
    one, many = updated(start), updated(start)
    first, second = vector([1, 2], [3, 4], [5, 9]), vector([100, -3])
    both = {"obs": torch.cat([first["obs"], second["obs"]])}
    one.update_from_moments(one.moments(both))
    many.update_from_moments(many.moments(first) + many.moments(second))
    assert one.count == many.count == 6
    np.testing.assert_allclose(one.mean, many.mean, rtol=1e-12)
    np.testing.assert_allclose(one.m2, many.m2, rtol=1e-12)
    rows = torch.cat([start["obs"], both["obs"]]).double().numpy()
    np.testing.assert_allclose(many.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(many.m2 / many.count, rows.var(0), rtol=1e-12)


def test_small_variance_far_from_zero_survives():
    rows = torch.tensor([[2.0**20 + 0.125], [2.0**20 - 0.125]]).repeat(500, 1)
    normalizer = Normalizer({"obs": (1,)})
    for batch in rows.split(100):
        normalizer.update_from_moments(normalizer.moments({"obs": batch}))
    assert normalizer.m2.item() / 1000 == pytest.approx(0.125**2, rel=1e-6)
    torch.testing.assert_close(normalizer({"obs": rows[:2]}), torch.tensor([[1.0], [-1.0]]))


def test_constant_elements_become_zero():
    normalizer = updated(vector([3, 1], [3, 2]))
    assert normalizer(vector([3, 1]))[0, 0] == 0


def test_parts_are_joined_in_order_and_others_left_out():
    normalizer = Normalizer({"obs/b": (2, 2), "obs/a": ()})
    parts = {
        "obs/a": torch.tensor([9.0]),
        "obs/b": torch.tensor([[[1, 2], [3, 4]]], dtype=torch.float64),
        "obs/c": torch.tensor([7.0]),
    }
    assert normalizer(parts).tolist() == [[1, 2, 3, 4, 9]]
    assert normalizer(parts).dtype == torch.float32
    assert normalizer.moments(parts).tolist() == [1, 1, 2, 3, 4, 9, 1, 4, 9, 16, 81]


def test_state_restores_the_same_function_bit_for_bit():
    normalizer = updated(vector([1, 10], [3, 14], [0.1, 0.7]))
    restored = Normalizer({"obs": (2,)})
    restored.load_state_dict(normalizer.state_dict())
    batch = vector([0.3, 11], [2, 2])
    assert set(normalizer.state_dict()) == {"count", "mean", "m2"}
    assert torch.equal(restored(batch), normalizer(batch))
    restored.load_state_dict(Normalizer({"obs": (2,)}).state_dict())
    assert torch.equal(restored(batch), batch["obs"])


def test_a_copy_is_independent():
    normalizer = updated(vector([1, 10], [3, 14]))
    frozen, batch = copy.deepcopy(normalizer), vector([0.3, 11])
    before = frozen(batch)
    normalizer.update_from_moments(normalizer.moments(vector([50, 60])))
    assert torch.equal(frozen(batch), before)
    assert not torch.equal(normalizer(batch), before)


def test_disabled_it_joins_and_has_no_state():
    normalizer = Normalizer({"obs": (2,)}, enabled=False)
    batch = vector([1000, 2])
    assert normalizer.state_dict() == {}
    assert torch.equal(normalizer(batch), batch["obs"])


def test_gradients_pass_to_observations():
    normalizer = updated(vector([1, 10], [3, 14]))
    batch = {"obs": torch.tensor([[2.5, 8.0]], requires_grad=True)}
    normalizer(batch).sum().backward()
    # d/dx (x − mean) / std = 1 / std = (1, ½)
    torch.testing.assert_close(batch["obs"].grad, torch.tensor([[1.0, 0.5]]))
