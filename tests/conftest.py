"""What all tests share: they touch nothing of the user's, and at most two of them run Ray at a time."""

import copy
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.local_ray import end_ray, leave_ray, share_ray

# The first example of a test compiles what it calls, and others' tests run beside it. What a change did not
# touch passes today if it passed yesterday; `make test-all` draws new examples each time.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("new", deadline=None)
settings.load_profile("same")

ROOT = Path(__file__).parents[1]
STARTS_RAY = {"algorithms": "learning", "chaos": "runs", "pipeline": "runs", "rollout": "runs"}
"""Folders whose tests start Ray, and their group. Elsewhere, those in ``*_ray.py`` do, and those that use
``ray_cluster``; they are among the ``runs``. Those of the documents are with ``learning``, as long as that
group is the shorter one."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

_scratch = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Gives this process, and so each worker of pytest-xdist, a home and a Ray folder of its own.

    A `ray.init()` without an address would join whatever Ray the user runs; the folder hides that from it.
    It is short because Ray's sockets lie deep below it, and their paths may have 107 bytes.
    """
    scratch = config.stash[_scratch] = Path(tempfile.mkdtemp(prefix="rayrl-", dir="/tmp"))
    for name in [name for name in os.environ if name.startswith(("RAY_", "XDG_"))]:
        del os.environ[name]
    os.environ |= {
        "HOME": str(scratch),
        "RAY_TMPDIR": str(scratch),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes that folder."""
    shutil.rmtree(config.stash[_scratch], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes two groups of the tests that start Ray, a worker each: more Rays starve each other."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        uses_ray = "ray_cluster" in getattr(item, "fixturenames", ())
        if uses_ray or folder in STARTS_RAY or item.path.stem.endswith("_ray"):
            item.add_marker(pytest.mark.xdist_group(STARTS_RAY.get(folder, "runs")))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Looks whether pytest-xdist has grouped them: with a pytest that it does not fit, it says nothing."""
    if getattr(session.config.option, "loadgroup", False):
        grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
        if not all("@" in item.nodeid for item in grouped):
            raise pytest.UsageError("pytest-xdist does not group tests with this version of pytest")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what this machine has no device or program for."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")
    if item.get_closest_marker("browser") and not any(map(shutil.which, CHROMIUM)):
        pytest.skip(f"there is none of {', '.join(CHROMIUM)}")


@pytest.fixture(scope="session", autouse=True)
def _no_ray_is_left() -> Iterator[None]:
    yield
    end_ray()


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_on_ray() -> Iterator[None]:
    """A module may have begun a Ray without saying so: the first remote call begins one."""
    yield
    leave_ray()


@pytest.fixture(scope="module")
def ray_cluster() -> None:
    """Ray in this process, with nothing of another module on it."""
    share_ray()


@pytest.fixture
def no_ray() -> None:
    """No Ray in this process."""
    end_ray()


@pytest.fixture
def own_demonstrators(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test registers as a demonstrator is there for no other test."""
    from rayrl.envs import demonstrators

    monkeypatch.setattr(demonstrators, "_entry_points", copy.deepcopy(demonstrators._entry_points))
