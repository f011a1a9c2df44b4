"""Whether what trials ended with is still there, on which evaluation and the report build.

It is no output of a chunk: whoever trains on from one removes it, and the chunk stays done.
"""

from __future__ import annotations

from dataclasses import astuple

from rayrl.pipeline.experiment import Experiment
from rayrl.pipeline.failure import read_failure
from rayrl.pipeline.run_folder import RunFolder
from rayrl.pipeline.stages import StageUnit
from rayrl.pipeline.trial import NO_STATE, read_trial
from rayrl.pipeline.trial_spec import TrialSpec, trials_of
from rayrl.storage.manifest import lost_output


def lost(unit: StageUnit, folder: RunFolder, experiment: Experiment) -> str | None:
    """What trials have lost since the last chunk of training, in words; None where nothing is.

    Args:
        unit: a chunk, which is done.
        folder: the run folder.
        experiment: the run's experiment.
    """
    if unit.chunk is not None and not unit.chunk.is_last:
        return None
    problems = {spec.name: _lost_of(spec, folder) for spec in trials_of(experiment)}
    return "; ".join(f"{name}: {problem}" for name, problem in problems.items() if problem) or None


def _lost_of(spec: TrialSpec, folder: RunFolder) -> str | None:
    home = spec.folder(folder)
    if read_failure(home) is not None:
        return None
    return lost_output(home) or (None if read_trial(folder, *astuple(spec)) else NO_STATE)
