"""Whether a run goes on that is not finished, and with what: decided before anything is checked or made.

                an unfinished run is there                none is there
auto            goes on                                   new run
must            goes on                                   error
never           new run; an error with --run-dir          new run
ask             asks on a terminal, elsewhere auto        new run
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rayrl.errors import RunError
from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.progress import RunView
from rayrl.pipeline.run_folder import RunFolder, invocation_of, unfinished_run_folder

_EXTERNAL = "start from the external policy as it is, without cloning ({})"
_AGAIN = "collect new demonstrations and run the warm start again"
_REPLAYS = "clone the replays again and run the warm start from that"
_CONTINUE = "go on from the newest checkpoint"
FORCED = "pretrain.force_warmstart=true"
"""The override that has a run warm-start again."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run an experiment."""

    run_dir: Path | None = None
    """The run folder; None takes the newest unfinished one of the same file and overrides, or a new one."""
    new: bool = False
    """Whether to make a new folder although there is an unfinished one."""
    overrides: Sequence[str] = ()
    """``key.path=value``."""
    address: str | None = None
    """A cluster to send the jobs to; None starts a private Ray."""
    cluster_file: Path | None = None
    """The cluster launcher's YAML file of that cluster."""
    local: bool = False
    """Whether to run all stages in this process."""
    smoke: bool = False
    """Whether to cut the experiment down to seconds."""


def decide(
    file: Path, experiment: Experiment, options: RunOptions, view: RunView
) -> tuple[RunFolder | None, tuple[str, ...]]:
    """The run folder to use, and further overrides.

    Args:
        file: the experiment file.
        experiment: what it says, with the overrides of the call.
        options: how to run it.
        view: told what is decided, and asks.

    Returns:
        The folder, None for a new one; and the overrides that were chosen, now or when the run was asked
        about before.

    Raises:
        RunError: the folder holds another experiment; or there is no run although one must go on, or one
            although none may.
    """
    if options.new and experiment.resume == "must":
        raise RunError(
            "another run is to be started, and resume is must",
            where=str(file),
            remedy="leave --new out to go on, or set resume: auto",
        )
    policy = "never" if options.new else experiment.resume
    if options.run_dir is not None:
        named = RunFolder(options.run_dir)
        named.check(experiment)
        unfinished = named if named.exists else None
    else:
        named = None
        invocation = invocation_of(file, options.overrides, smoke=options.smoke)
        unfinished = None if policy == "never" else unfinished_run_folder(experiment, invocation)
    if unfinished is None:
        if policy == "must":
            raise RunError(
                "there is no run to go on with",
                where=str(named or file),
                remedy="name it with --run-dir, or start one with resume: auto",
            )
        return named, ()
    if policy == "never":
        raise RunError(
            "the folder holds a run, and resume is never",
            where=str(unfinished),
            remedy="name a new folder, or set resume: auto to go on",
        )
    chosen = unfinished.record.chosen
    if policy == "ask":
        chosen = _ask(unfinished, experiment, view) or chosen
    elif named is None:
        view.say(f"goes on with the unfinished run in {unfinished} (--new starts another)")
    return unfinished, chosen


def _ask(folder: RunFolder, experiment: Experiment, view: RunView) -> tuple[str, ...] | None:
    """The overrides that the user chooses; None to go on as it is."""
    if not view.can_ask or not experiment.pretrains:
        why = "there is no terminal to ask on" if experiment.pretrains else "it has no warm start to choose"
        view.say(f"goes on with the run in {folder}: resume is ask, and {why}")
        return None
    choices: dict[str, tuple[str, ...] | None] = {}
    if experiment.pretrain.from_ is not None:
        text = _EXTERNAL.format(experiment.pretrain.from_)
        choices[text] = ("pretrain.skip_bc=true", FORCED)
    if experiment.collect.replays is None:
        seed = folder.experiment().collect.seed + 1
        choices[_AGAIN] = (f"collect.seed={seed}", "pretrain.skip_bc=false", FORCED)
    else:
        choices[_REPLAYS] = ("pretrain.skip_bc=false", FORCED)
    choices[_CONTINUE] = None
    answer = view.ask(f"{folder} holds a run of this experiment", list(choices), default=_CONTINUE)
    return choices[answer]
