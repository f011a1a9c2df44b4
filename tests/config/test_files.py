"""Options files: what is read, and which line or override an error names."""

from pathlib import Path
from typing import Annotated, Self

import pytest
from pydantic import Field, ValidationInfo, field_validator, model_validator

from rayrl.config import Config, InputPath, read_document
from rayrl.errors import ConfigError


class Inner(Config):
    steps: Annotated[int, Field(ge=1)] = 10
    trace: InputPath | None = None
    source: InputPath | None = Field(default=None, alias="from")


class Outer(Config):
    name: str
    inner: Inner = Inner()
    layers: list[int] = Field(default=[1, 2])
    named: dict[str, tuple[Inner, ...]] = Field(default={})
    free: dict[str, object] = Field(default={})


class Nested(Config):
    kind: str = "inner"
    config: dict[str, object] = Field(default={})

    @field_validator("config")
    @classmethod
    def _known(cls, value: dict[str, object], info: ValidationInfo) -> dict[str, object]:
        return Inner.parse_within(value).model_dump()


class Holder(Config):
    env: Nested


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "experiment.yaml"
        path.write_text(text)
        return path

    return write


def load(path: Path, *overrides: str, base: Path | None = None) -> Outer:
    return read_document(path).override(overrides, base=base or path.parent).parse(Outer)


def test_plain_values_are_read_as_yaml_1_2_reads_them(write):
    text = "{lr: 1e-4, steps: 100_000, day: 2026-01-02, off: null, on: no, so: true, deep: [x, {y: 0.5}]}"
    assert load(write(f"name: a\nfree: {text}\n")).free == {
        "lr": 1e-4,
        "steps": 100_000,
        "day": "2026-01-02",
        "off": None,
        "on": "no",
        "so": True,
        "deep": ["x", {"y": 0.5}],
    }


def test_json_is_read_too(write):
    assert load(write('{"name": "a", "inner": {"steps": 3}, "free": {"lr": 1e-05}}')).free == {"lr": 1e-5}


def test_merged_keys_may_be_overridden_by_explicit_ones(write):
    path = write("name: a\nfree:\n  base: &base {x: 1, y: 2}\n  more: {<<: *base, y: 3}\n")
    assert load(path).free["more"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: a\ninner:\n  steps: 0\n",
            "line 3: inner.steps = 0: Input should be greater than or equal to 1",
        ),
        ("name: a\ninner:\n  step: 3\n", "line 3: inner.step: unknown key; did you mean 'steps'?"),
        ("name: a\ninner:\n  form: x\n", "line 3: inner.form: unknown key; did you mean 'from'?"),
        (
            "name: a\nnamed:\n  x:\n  - step: 3\n",
            "line 4: named.x.0.step: unknown key; did you mean 'steps'?",
        ),
        ("name: a\nlayers: [1,\n  many]\n", "line 3: layers.1 = 'many': Input should be a valid integer"),
        ("inner: {}\n", "line 1: name: required, and not given"),
        ("name: a\nname: b\n", "line 2: the key 'name' stands already in line 1"),
        ("name: a\nfree: {x: 1, x: 2}\n", "line 2: the key 'x' stands already in line 2"),
        ("name: a\nfree: {1: x}\n", "line 2: the key '1' must be text; put it in quotes"),
        ("name: a\nfree: {x: .nan}\n", "line 2: .nan is not a finite number"),
        ("name: a\nfree: {x: !!binary aGk=}\n", "line 2: values of type bytes are not supported"),
        ("name: a\nfree: &a {x: *a}\n", "line 2: a value may not contain itself"),
        ("name: a\nfree: {x: !!python/name:os.system ''}\n", "line 2: could not determine a constructor"),
        ("name: a\nfree: [\n", "line 3: "),
        ("- a\n", "the file must hold key: value pairs"),
        ("", "the file must hold key: value pairs"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(write, text, message):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_every_wrong_field_is_named(write):
    with pytest.raises(ConfigError) as caught:
        load(write("nam: a\ninner: {steps: x}\n"))
    assert len(caught.value.message.splitlines()) == 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        read_document(tmp_path / "none.yaml")


def test_overrides_set_scalars_list_items_and_new_keys(write):
    path = write("name: a\ninner: null\nfree: {nothing: null}\n")
    made = load(
        path, "inner.steps=7", "layers=[4, 5, 6]", "layers.1=9", "free.nothing.size=5_000", "name=b:c"
    )
    assert (made.inner.steps, made.layers, made.free, made.name) == (
        7,
        [4, 9, 6],
        {"nothing": {"size": 5000}},
        "b:c",
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inner.steps=0", "--set inner.steps=0: inner.steps = 0"),
        ("inner.stepz=1", "--set inner.stepz=1: inner.stepz: unknown key; did you mean 'steps'?"),
        ("inner={steps: x}", "--set inner={steps: x}: inner.steps = 'x'"),
        ("layers.2=1", "--set layers.2=1: layers is a list of 2: '2' is no index of it"),
        ("name.first=1", "--set name.first=1: name is 'a', which has nothing named 'first'"),
        ("inner.steps", "--set inner.steps: this is not key.path=value"),
        ("=3", "--set =3: this is not key.path=value"),
        ("layers=[1", "--set layers=[1: line 1: "),
    ],
)
def test_a_wrong_override_is_refused_by_its_name(write, override, message):
    with pytest.raises(ConfigError) as caught:
        load(write("name: a\nlayers: [1, 2]\n"), override)
    assert message in str(caught.value)


def test_an_override_leaves_the_document_as_it_was(write):
    document = read_document(write("name: a\nlayers: [1, 2]\n"))
    document.override(["layers.0=5"], base=Path.cwd())
    assert document.parse(Outer).layers == [1, 2]


def test_a_path_starts_at_the_file_and_in_an_override_at_the_given_folder(write, tmp_path):
    (tmp_path / "file.csv").touch()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "other.csv").touch()
    path = write("name: a\ninner: {trace: file.csv, from: there}\n")
    assert load(path).inner.trace == tmp_path / "file.csv"
    assert load(path).inner.source == tmp_path / "there"
    moved = load(path, "inner.trace=other.csv", base=tmp_path / "there")
    assert moved.inner.trace == tmp_path / "there" / "other.csv"


def test_a_path_that_is_not_there_is_named(write, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(write("name: a\ninner: {trace: no.csv}\n"))
    assert f"line 2: inner.trace = 'no.csv': there is no such file or folder: {tmp_path / 'no.csv'}" in str(
        caught.value
    )


def test_an_error_in_a_model_within_a_free_mapping_names_the_whole_path(write):
    path = write("env:\n  config:\n    steps: 0\n    trase: x\n")
    with pytest.raises(ConfigError) as caught:
        read_document(path).parse(Holder)
    assert caught.value.message.splitlines() == [
        "line 3: env.config.steps = 0: Input should be greater than or equal to 1",
        "line 4: env.config.trase: unknown key; did you mean 'trace'?",
    ]


def test_an_unknown_section_of_an_override_is_found_there(write):
    with pytest.raises(ConfigError) as caught:
        load(write("name: a\n"), "iner.steps=3")
    assert caught.value.message == "--set iner.steps=3: iner: unknown key; did you mean 'inner'?"


class Short(Config):
    numbers: Annotated[tuple[int, ...], Field(min_length=1)]


def test_items_that_are_wrong_are_not_reported_as_missing_too(write):
    with pytest.raises(ConfigError) as caught:
        read_document(write("numbers: [a]\n")).parse(Short)
    (line,) = caught.value.message.splitlines()
    assert line.startswith("line 1: numbers.0 = 'a': ")


class Pair(Config):
    low: int
    high: int

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low = {self.low} exceeds high = {self.high}")
        return self


def test_what_is_wrong_between_fields_is_said_without_all_of_them(write):
    with pytest.raises(ConfigError) as caught:
        read_document(write("low: 2\nhigh: 1\n")).parse(Pair)
    assert caught.value.message == "line 1: low = 2 exceeds high = 1"
