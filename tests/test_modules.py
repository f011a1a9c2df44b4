"""Modules are small, and named by what they hold."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "rayrl").rglob("*.py"))
MOST_LINES = 400
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_long(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_names_say_what_is_inside():
    named = {*MODULES, *(path.parent for path in MODULES)}
    assert [str(path.relative_to(ROOT)) for path in named if path.stem in SAYS_NOTHING] == []
