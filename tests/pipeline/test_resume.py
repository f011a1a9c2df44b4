"""Whether a run goes on: the four policies, with and without a run, and the three choices on a terminal."""

import io

import pytest
from rich.console import Console

from rayrl.errors import RunError
from rayrl.pipeline.experiment import load_experiment
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.resume import FORCED, RunOptions, decide
from rayrl.pipeline.run_folder import RunFolder, invocation_of, lasting

EXPERIMENT = """
name: corridor
seeds: [0]
env: {id: CartPole-v1}
collect: {demonstrators: {random: 1}, seed: 4}
"""


class Terminal(RunView):
    """A terminal on which someone types; what is said is in ``told``."""

    def __init__(self, *typed: str) -> None:
        self.told = io.StringIO()
        super().__init__(Console(file=self.told, force_terminal=True, width=200))
        self._typed = [*typed]

    @property
    def can_ask(self) -> bool:
        return True

    def answer(self, prompt: str) -> str:
        if not self._typed:
            raise EOFError
        return self._typed.pop(0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corridor.yaml").write_text(EXPERIMENT)
    return tmp_path


@pytest.fixture
def terminal(monkeypatch):
    def make(*typed):
        view = Terminal(*typed)
        monkeypatch.setattr(view._console, "input", view.answer)
        return view

    return make


def decision(here, *overrides, run_dir=None, new=False, view=None):
    file = here / "corridor.yaml"
    view = view or RunView(Console(file=io.StringIO()))
    options = RunOptions(run_dir=run_dir, new=new, overrides=overrides)
    return decide(file, load_experiment(file, overrides), options, view)


def begin(here, *overrides, chosen=()):
    """A run that is not finished."""
    file, folder = here / "corridor.yaml", RunFolder(here / "runs" / "corridor_1")
    invocation = invocation_of(file, overrides, smoke=False)
    folder.prepare(load_experiment(file, [*overrides, *chosen]), invocation, lasting(chosen))
    return folder


def test_without_a_run_only_must_is_an_error(here):
    for policy in ("auto", "never", "ask"):
        assert decision(here, f"resume={policy}") == (None, ())
    with pytest.raises(RunError, match="there is no run to go on with"):
        decision(here, "resume=must")
    with pytest.raises(RunError, match=r"there: there is no run to go on with"):
        decision(here, "resume=must", run_dir=here / "there")


def test_another_run_cannot_be_one_that_goes_on(here):
    with pytest.raises(RunError, match="another run is to be started, and resume is must"):
        decision(here, "resume=must", new=True)


@pytest.mark.parametrize("policy", ["auto", "must", "ask"])
def test_a_run_that_is_not_finished_goes_on(here, policy):
    # The policy is of the call: it makes no other run.
    folder = begin(here, "resume=never")
    found, chosen = decision(here, f"resume={policy}")
    assert (found.path, chosen) == (folder.path, ())
    assert folder.experiment().resume == "auto"
    folder.set_finished(True)
    assert decision(here)[0] is None


def test_never_starts_another_run_and_never_goes_on_with_a_named_one(here):
    folder = begin(here)
    assert decision(here, "resume=never") == decision(here, new=True) == (None, ())
    with pytest.raises(RunError, match="the folder holds a run, and resume is never"):
        decision(here, "resume=never", run_dir=folder.path)
    assert decision(here, "resume=never", run_dir=here / "other")[0].path == here / "other"


def test_without_a_terminal_nobody_is_waited_for(here, monkeypatch):
    folder, told = begin(here), io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO())
    found, chosen = decision(here, "resume=ask", view=RunView(Console(file=told, width=200)))
    assert (found.path, chosen) == (folder.path, ())
    assert "resume is ask, and there is no terminal to ask on" in told.getvalue()


def test_a_terminal_is_asked_for_what_the_warm_start_is_to_be(here, terminal, tmp_path):
    (tmp_path / "policy.pt").write_bytes(b"")
    external = (f"pretrain.from={tmp_path / 'policy.pt'}", "pretrain.architecture=mlp_baseline", "resume=ask")
    begin(here, *external)
    answers = {
        "1": ("pretrain.skip_bc=true", FORCED),
        "2": ("collect.seed=5", "pretrain.skip_bc=false", FORCED),
        "3": (),
        "": (),
    }
    for typed, expected in answers.items():
        view = terminal("9", "no", typed) if typed else terminal()
        assert decision(here, *external, view=view)[1] == expected
        assert "without cloning" in view.told.getvalue()
        assert "chosen: " in view.told.getvalue()


def test_without_an_external_policy_there_are_two_choices(here, terminal):
    begin(here)
    view = terminal("1")
    assert decision(here, "resume=ask", view=view)[1] == ("collect.seed=5", "pretrain.skip_bc=false", FORCED)
    assert "without cloning" not in view.told.getvalue()


def test_replays_are_cloned_again_as_they_are(here, terminal):
    (here / "replays.json").write_text("{}")
    by_replays = ("collect.demonstrators={}", "collect.replays=replays.json", "resume=ask")
    begin(here, *by_replays)
    view = terminal("1")
    assert decision(here, *by_replays, view=view)[1] == ("pretrain.skip_bc=false", FORCED)
    assert "clone the replays again" in view.told.getvalue()
    assert "collect new demonstrations" not in view.told.getvalue()


def test_a_run_without_a_warm_start_has_nothing_to_choose(here, terminal):
    cold = ("conditions=[no_pretrain]", "resume=ask")
    begin(here, *cold)
    view = terminal("1")
    assert decision(here, *cold, view=view)[1] == ()
    assert "it has no warm start to choose" in view.told.getvalue()


def test_what_was_chosen_stays(here, terminal):
    folder = begin(here, chosen=("collect.seed=5", FORCED))
    assert folder.experiment().collect.seed == 5
    # It makes no other run, and the next call goes on with it.
    assert decision(here)[1] == ("collect.seed=5",)
    assert decision(here, "resume=ask", view=terminal("2"))[1] == ("collect.seed=5",)
    assert decision(here, "resume=ask", view=terminal("1"))[1][0] == "collect.seed=6"
