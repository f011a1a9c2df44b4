"""Draws are held against the files: right ones pass, and each kind of fault is seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rayrl.experience.replay import reading
from rayrl.experience.replay.requests import Picked, Transitions
from rayrl.experience.replay.samplers import Sampler, base
from rayrl.experience.replay.view import View
from rayrl.experience.stored import sampling
from rayrl.experience.stored.opening import open_stored
from rayrl.experience.stored.reference import Reference
from rayrl.experience.stored.sampling import SampleCheck, check_samples
from tests.experience.stored.building import dataset, saved_buffer


def checks(path: Path) -> list[SampleCheck]:
    return list(check_samples(open_stored(path)))


def test_a_saved_buffer_is_sampled_as_stored(tmp_path: Path) -> None:
    found = checks(saved_buffer(tmp_path / "buffer"))
    assert {check.sampler for check in found} >= {
        "balanced",
        "high_reward",
        "on_policiness",
        "prioritized",
        "recent",
        "uniform",
    }
    assert {check.split for check in found} == {"all", "train", "val"}
    assert [check for check in found if check.faults] == []
    assert sum(check.drawn > 0 for check in found) > 55
    skipped = {(check.sampler, check.target): check.skipped for check in found if check.skipped}
    assert skipped["prioritized", "trajectories"] == "draws steps, not trajectories"


def test_a_dataset_is_loaded_first(tmp_path: Path) -> None:
    found = checks(dataset(tmp_path / "set"))
    assert [check for check in found if check.faults] == []
    skipped = {(check.sampler, check.split): check.skipped for check in found if check.skipped}
    assert skipped["prioritized", "all"].startswith("draws steps") or "no priorities" in str(skipped.values())
    assert "30 of 30 trajectories have no on-policiness score" in skipped["on_policiness", "all"]
    assert skipped["uniform", "val"] == "there are none"


def test_parts_of_an_episode_are_one_trajectory(tmp_path: Path) -> None:
    """The last file goes on with the open episode of 40 steps: its walk is of 44."""
    reference = Reference(open_stored(dataset(tmp_path / "set")))
    assert reference.longest == 44
    start = 524 - 4 - 40
    assert reference.walk(np.array([start]), 45)[0].tolist() == [*range(start, 524), -1]


FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "rewards": (lambda columns: columns["rewards"] + 1, "rewards"),
    "obs": (lambda columns: columns["obs"] + 1, "obs"),
    "next_obs": (lambda columns: columns["obs"], "next_obs"),
    "terminated": (lambda columns: ~columns["terminated"], "terminated"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_column_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    spoil, column = FAULTS[name]
    read = reading.read_transitions

    def wrong(*arguments: Any) -> Any:
        drawn = read(*arguments)
        drawn.columns[name] = spoil(drawn.columns)
        return drawn

    monkeypatch.setattr(sampling, "read_transitions", wrong)
    found = [
        check
        for check in checks(saved_buffer(tmp_path / "buffer"))
        if check.target == "steps" and check.drawn
    ]
    assert all(f"column {column} is not as stored" in check.faults for check in found)


class Careless(Sampler):
    """A user's sampler that draws any steps, whatever is to begin there."""

    def mass(self, view: View, union: Any) -> float:
        return float(view.count)

    def draw(self, view: View, n: int, union: Any, generator: np.random.Generator) -> Picked:
        return View(view._storage, Transitions(), view.where).uniform(n, generator)


def test_a_fragment_past_its_end_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base._SAMPLERS, "careless", Careless)
    found = [check for check in checks(saved_buffer(tmp_path / "buffer")) if check.sampler == "careless"]
    faults = {check.target: check.faults for check in found if check.split == "all"}
    (fault,) = faults.pop("fragments of 4 steps")
    assert "of 256 fragments go past the end of their trajectory" in fault
    assert set(faults.values()) == {()}
