"""What ``import rayrl`` offers: sorted, documented, and imported when it is first used."""

import inspect
import subprocess
import sys

import pytest

import rayrl
import rayrl.algorithms

MODULES = (rayrl, rayrl.algorithms)


def python(code: str) -> str:
    """Standard output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_names():
    assert rayrl.__all__ == sorted(rayrl.__all__)
    assert set(rayrl.__all__) == {"algorithms", "collect", "evaluate", "load_policy", "open_dataset", "run"}
    assert set(rayrl.algorithms.__all__) == {
        *("BC", "BCConfig", "DQN", "DQNConfig", "PPO", "PPOConfig", "SAC", "SACConfig")
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_each_name_resolves_and_is_documented(module):
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        documented = inspect.getdoc(getattr(module, name))
        assert documented, name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_another_name_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'no_such_name'"):
        module.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import rayrl", []),
        ("import rayrl.algorithms", []),
        ("import rayrl; rayrl.algorithms; rayrl.open_dataset", []),
        ("import rayrl; rayrl.load_policy", ["torch"]),
        ("import rayrl; rayrl.collect; rayrl.evaluate", ["torch"]),
        ("import rayrl; rayrl.run", []),
        ("import rayrl; rayrl.algorithms.PPOConfig", ["ray", "torch"]),
    ],
)
def test_what_each_name_imports(code, heavy):
    told = python(f"{code}\nimport sys\nprint([name for name in ('ray', 'torch') if name in sys.modules])")
    assert told == str(heavy)
