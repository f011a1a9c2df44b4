"""What an options model is said to offer is what it takes."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, NonNegativeFloat, PositiveInt

from rayrl.config import Config
from rayrl.config.reference import options_of, summary_of, yaml_text


class Inner(Config):
    """Options of a part."""

    rate: NonNegativeFloat | Literal["auto"] = "auto"
    """How often."""


class Outer(Config):
    """Options of a whole,
    in two lines.

    And more of them.
    """

    name: str
    count: PositiveInt = 3
    """How many,
    at most."""
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    most: Annotated[int, Field(ge=1, le=10**6)] = 9
    other: Inner | None = None
    from_: Literal["here", "there"] = Field(default="here", alias="from")
    sizes: tuple[PositiveInt, ...] = (1, 2)
    shares: dict[str, float] = Field(default={})
    on: bool = True
    inner: Inner = Inner()


class Derived(Outer):
    """Other defaults."""

    count: PositiveInt = 5


def test_each_option_has_its_values_default_and_meaning():
    found = {
        option.name: (option.values, option.default_text, option.meaning) for option in options_of(Outer)
    }
    assert found == {
        "name": ("text", "required", ""),
        "count": ("integer ≥ 1", "3", "How many, at most."),
        "share": ("number > 0 and < 1 or `null`", "null", ""),
        "most": ("integer ≥ 1 and ≤ 1_000_000", "9", ""),
        "other": ("section or `null`", "null", ""),
        "from": ("`here`, `there`", "here", ""),
        "sizes": ("list of integer ≥ 1", "[1, 2]", ""),
        "shares": ("mapping to number", "{}", ""),
        "on": ("`true`, `false`", "true", ""),
        "inner": ("section", "{rate: auto}", ""),
    }


def test_a_section_names_its_model():
    assert [option.section for option in options_of(Outer) if option.section] == [Inner]
    assert [option.name for option in options_of(Outer) if option.section_or_null is Inner] == ["other"]
    (rate,) = options_of(Inner)
    assert (rate.values, rate.default_text, rate.meaning) == ("number ≥ 0 or `auto`", "auto", "How often.")


def test_a_subclass_inherits_meanings_and_replaces_defaults():
    count = next(option for option in options_of(Derived) if option.name == "count")
    assert (count.default, count.meaning) == (5, "How many, at most.")


def test_the_summary_is_the_first_paragraph():
    assert summary_of(Outer) == "Options of a whole, in two lines."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("null", '"null"'),
        ("no such", '"no such"'),
        ("a/B-v0", "a/B-v0"),
        ("a:B", '"a:B"'),
        (100_000, "100_000"),
        ({"a": [1, 2.5]}, "{a: [1, 2.5]}"),
        (None, "null"),
        (False, "false"),
    ],
)
def test_values_as_yaml(value, text):
    assert yaml_text(value) == text
