import pytest

from rayrl.comparison.seeds import check_seeds
from rayrl.errors import ConfigError


@pytest.mark.parametrize("seeds", [[0], [3, 4]])
def test_too_few_are_refused_with_the_field(seeds):
    with pytest.raises(ConfigError, match=r"seeds = .*needs at least 3") as caught:
        check_seeds(seeds, where="experiment.yaml")
    assert caught.value.where == "experiment.yaml"


@pytest.mark.parametrize(("count", "warned"), [(3, True), (4, True), (5, False), (9, False)])
def test_few_are_warned_of(count, warned):
    warning = check_seeds(range(count), where="experiment.yaml")
    assert (warning is not None) == warned
