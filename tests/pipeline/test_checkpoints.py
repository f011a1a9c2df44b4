"""A trial's checkpoints: whole or put aside, the newest few, and a link that is always right."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rayrl.errors import StorageError
from rayrl.pipeline.checkpoints import Checkpoints

NEEDED = ("algorithm_state.pkl", "learner_group/learner/state.pkl")


class Algorithm(SimpleNamespace):
    """What is saved of an algorithm, without one."""

    replay = None

    def save_to_path(self, path):
        for name in self.files:
            file = Path(path) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{name} at {self.env_steps}")


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(tmp_path / "checkpoints", keep=2)
    made.prepare()
    return made


def save(checkpoints, *steps):
    for step in steps:
        checkpoints.save(Algorithm(env_steps=step, files=NEEDED))


def latest(checkpoints):
    return (checkpoints.folder / "latest").resolve()


def test_the_newest_few_are_kept_and_latest_is_the_last_of_them(checkpoints):
    assert (checkpoints.newest, checkpoints.take_intact()) == (0, (0, []))
    for step in (64, 128, 192):
        save(checkpoints, step)
        assert latest(checkpoints) == checkpoints.path(step)
    assert checkpoints.steps == [128, 192]
    assert checkpoints.take_intact() == (192, [])
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == [
        "latest",
        "step_000000000128",
        "step_000000000192",
    ]


def cut_short(file):
    file.write_text(file.read_text()[: len(file.read_text()) // 2])


def alter(file):
    file.write_text(file.read_text().replace("192", "193"))


@pytest.mark.parametrize(
    ("name", "harm", "told"),
    [
        (NEEDED[0], cut_short, "output algorithm_state.pkl has 13 bytes, not 26"),
        (NEEDED[1], alter, "output learner_group/learner/state.pkl is altered"),
        (NEEDED[0], Path.unlink, "output algorithm_state.pkl is missing"),
        ("manifest.json", cut_short, "is not valid JSON"),
        ("manifest.json", Path.unlink, "manifest is missing"),
    ],
)
def test_the_one_before_a_damaged_one_is_used(checkpoints, name, harm, told):
    save(checkpoints, 128, 192)
    harm(checkpoints.path(192) / name)
    step, (problem,) = checkpoints.take_intact()
    assert step == 128
    assert problem.startswith("the checkpoint of step 192 is damaged (")
    assert told in problem
    assert problem.endswith(", and that of step 128 is used")
    assert latest(checkpoints) == checkpoints.path(128)
    assert (checkpoints.folder / "damaged_step_000000000192").is_dir()
    # The step is saved anew when it is come to again.
    save(checkpoints, 192)
    assert checkpoints.take_intact() == (192, [])


def test_where_all_are_damaged_training_begins_anew(checkpoints):
    save(checkpoints, 128, 192)
    for step in (128, 192):
        cut_short(checkpoints.path(step) / NEEDED[0])
    step, problems = checkpoints.take_intact()
    assert step == 0
    assert [problem.split(" is damaged")[0] for problem in problems] == [
        "the checkpoint of step 192",
        "the checkpoint of step 128",
    ]
    assert problems[-1].endswith("there is no other: training begins anew")
    assert not (checkpoints.folder / "latest").is_symlink()


def test_what_a_learner_could_not_save_is_no_checkpoint(checkpoints):
    with pytest.raises(StorageError, match=r"lacks learner_group/learner/state\.pkl"):
        checkpoints.save(Algorithm(env_steps=64, files=NEEDED[:1]))
    assert [*checkpoints.folder.iterdir()] == []


def test_what_comes_after_a_step_is_forgotten(checkpoints):
    save(checkpoints, 128, 192)
    checkpoints.forget_after(150)
    assert (checkpoints.steps, latest(checkpoints)) == ([128], checkpoints.path(128))
    checkpoints.forget_after(0)
    assert [*checkpoints.folder.iterdir()] == []


def test_a_link_that_a_kill_left_half_made_is_removed(checkpoints):
    save(checkpoints, 128)
    (checkpoints.folder / ".latest.0123abcd.tmp").symlink_to("step_000000000128")
    checkpoints.prepare()
    assert not (checkpoints.folder / ".latest.0123abcd.tmp").is_symlink()
    assert checkpoints.take_intact() == (128, [])


def test_a_copy_beside_them_is_left_alone(checkpoints):
    save(checkpoints, 10)
    checkpoints.path(10).rename(checkpoints.folder / "step_000000000010.bak")
    assert (checkpoints.steps, checkpoints.newest) == ([], 0)
    save(checkpoints, 20, 30, 40)
    assert checkpoints.steps == [30, 40]
    assert (checkpoints.folder / "step_000000000010.bak").is_dir()
