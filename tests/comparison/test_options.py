import pytest

from rayrl.comparison.criteria import Criterion
from rayrl.comparison.options import CompareOptions, Weights
from rayrl.errors import ConfigError


def test_every_criterion_has_a_weight_and_nothing_else():
    assert list(Weights.model_fields) == [criterion.value for criterion in Criterion]


def test_an_unknown_criterion_is_told_the_nearest_and_all():
    with pytest.raises(ConfigError) as caught:
        CompareOptions.parse({"weights": {"latncy": 2}}, where="experiment.yaml")
    text = str(caught.value)
    assert "there is no criterion 'latncy'; did you mean 'latency'?" in text
    assert all(criterion.value in text for criterion in Criterion)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"success": -1}, "weights.success = -1"),
        (
            dict.fromkeys([criterion.value for criterion in Criterion], 0),
            "one weight at least must be above 0",
        ),
    ],
)
def test_weights_that_are_none(weights, said):
    with pytest.raises(ConfigError, match=said):
        CompareOptions.parse({"weights": weights}, where="experiment.yaml")
