import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from gymnasium.vector.utils import batch_space

from rayrl.errors import DataError, SpaceError
from rayrl.experience.columns import (
    TEXT,
    TRAJECTORY_COLUMNS,
    BatchSpecs,
    ColumnSpec,
    Source,
    Split,
    action_spec,
    column_spec,
    flatten_observation,
    observation_parts,
    required_specs,
    to_column,
    unflatten_observation,
)
from rayrl.experience.ragged import Ragged
from rayrl.storage.spaces import Spaces

NESTED = Dict(
    [
        ("speed", Box(-1, 1, (2,))),
        ("car", Dict([("gear", Discrete(5)), ("camera", Box(0, 255, (4, 4, 3), np.uint8))])),
        ("task", Text(8)),
    ]
)


def test_a_plain_observation_is_one_column() -> None:
    assert observation_parts(Box(0, 1, (3,))) == {"obs": Box(0, 1, (3,))}
    assert observation_parts(Text(3), "final_obs") == {"final_obs": Text(3)}


def test_a_nested_observation_is_named_by_its_keys_in_the_spaces_order() -> None:
    parts = observation_parts(NESTED)
    assert list(parts) == ["obs/speed", "obs/car/gear", "obs/car/camera", "obs/task"]
    assert parts["obs/car/gear"] == Discrete(5)


@pytest.mark.parametrize(
    ("space", "where"),
    [
        (Tuple([Discrete(2)]), "obs"),
        (MultiBinary(3), "obs"),
        (Dict(a=Dict(b=MultiDiscrete([2, 2]))), "obs/a/b"),
        (Dict({"a/b": Discrete(2)}), "obs"),
    ],
)
def test_an_unsupported_observation_is_named_with_its_place(space: gym.Space, where: str) -> None:
    with pytest.raises(SpaceError) as caught:
        observation_parts(space)
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("space", "spec"),
    [
        (Discrete(3), ColumnSpec(np.dtype(np.int64))),
        (MultiDiscrete([2, 3], dtype=np.int32), ColumnSpec(np.dtype(np.int32), (2,))),
        (MultiBinary([2, 3]), ColumnSpec(np.dtype(np.int8), (2, 3))),
        (Box(-1, 1, (2, 1), np.float64), ColumnSpec(np.dtype(np.float64), (2, 1))),
    ],
)
def test_actions_have_the_type_of_their_space(space: gym.Space, spec: ColumnSpec) -> None:
    assert action_spec(space) == spec


@pytest.mark.parametrize(
    "space", [Text(3), Dict(a=Discrete(2)), Tuple([Discrete(2)]), gym.spaces.Graph(NESTED["speed"], None)]
)
def test_an_unsupported_action_is_named(space: gym.Space) -> None:
    with pytest.raises(SpaceError, match=f"{type(space).__name__} actions") as caught:
        action_spec(space)
    assert caught.value.where == "actions"


def test_a_batched_observation_becomes_columns_and_comes_back() -> None:
    batched = batch_space(NESTED, 3).sample()
    parts = flatten_observation(batched)
    columns = {
        name: to_column(parts[name], column_spec(leaf)) for name, leaf in observation_parts(NESTED).items()
    }
    assert columns["obs/car/camera"] is parts["obs/car/camera"]
    assert columns["obs/task"] == Ragged.from_text(batched["task"])
    back = unflatten_observation(columns | {"actions": np.zeros(3), "observer": np.zeros(3)})
    assert isinstance(back, dict)
    assert back.keys() == batched.keys()
    np.testing.assert_array_equal(back["car"]["gear"], batched["car"]["gear"])
    np.testing.assert_array_equal(back["speed"], batched["speed"])


def test_a_plain_observation_comes_back_as_itself() -> None:
    values = np.zeros((2, 3))
    assert flatten_observation(values) == {"obs": values}
    assert unflatten_observation({"final_obs": values, "obs": 1}, "final_obs") is values
    with pytest.raises(DataError, match="'obs'"):
        unflatten_observation({"final_obs": values})


def test_rows_of_another_shape_are_refused() -> None:
    spec = ColumnSpec(np.dtype(np.float32), (3,))
    assert to_column([[1, 2, 3]], spec).dtype == np.float32
    with pytest.raises(DataError, match=r"\(2,\) given where \(3,\)"):
        to_column(np.zeros((4, 2)), spec)


@pytest.mark.parametrize(
    "spec", [TEXT, ColumnSpec(np.dtype(np.int8), (2, 0)), ColumnSpec(np.dtype(bool), (2,), "ragged")]
)
def test_an_empty_column_has_its_spec_and_no_rows(spec: ColumnSpec) -> None:
    assert ColumnSpec.of(spec.empty()) == spec
    assert len(spec.empty()) == 0


def test_stored_trajectories_need_what_learning_needs() -> None:
    specs = required_specs(Spaces(NESTED, Discrete(2)))
    assert list(specs.columns) == [*observation_parts(NESTED), "actions", "rewards"]
    assert specs.columns["obs/task"] == specs.trajectory_columns["final_obs/task"] == TEXT
    assert specs.trajectory_columns["episode_id"] == ColumnSpec(np.dtype(np.uint64), (2,))
    more = BatchSpecs(specs.columns | {"temperature": TEXT}, dict(specs.trajectory_columns))
    more.check_has(specs)
    with pytest.raises(DataError, match="missing") as caught:
        specs.check_has(more)
    assert caught.value.where == "temperature"
    with pytest.raises(DataError, match="temperature: is a column of some"):
        specs.check_same(more)
    other = BatchSpecs(specs.columns | {"rewards": TEXT}, specs.trajectory_columns)
    for check in (specs.check_same, specs.check_has):
        with pytest.raises(DataError, match="rewards: is array float32"):
            check(other)


def test_codes_and_types_of_the_format_stay() -> None:
    assert {member.name: member.value for member in Source} == {
        "rollout": 0,
        "demo": 1,
        "history": 2,
        "import_": 3,
    }
    assert {member.name: member.value for member in Split} == {"unset": 0, "train": 1, "val": 2}
    assert {name: str(spec) for name, spec in TRAJECTORY_COLUMNS.items()} == {
        "episode_id": "array uint64 (2,)",
        "first_step": "array int64 ()",
        "terminated": "array bool ()",
        "truncated": "array bool ()",
        "domain": "text",
        "task": "text",
        "source": "array uint8 ()",
        "split": "array uint8 ()",
        "policy_version_min": "array int64 ()",
        "policy_version_max": "array int64 ()",
        "producer": "array int32 ()",
        "epoch": "array int32 ()",
        "sequence": "array int64 ()",
        "return_so_far": "array float64 ()",
        "episode_return": "array float64 ()",
        "episode_success": "array float32 ()",
    }
