"""What learners, on whichever nodes they are, have to do with a trial's folder."""

from __future__ import annotations

from pathlib import Path

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.pipeline.node_probe import this_node
from rayrl.pipeline.shared_folder import Mark, not_shared


def check_learners(algorithm: ColumnarAlgorithm, mark: Mark) -> None:
    """Asks each learner whether it sees the run folder, in which it is to write checkpoints.

    Raises:
        StorageError: one does not; the error names its node.
    """
    answers = algorithm.learner_group.foreach_learner(
        lambda learner, mark=mark: None if mark.is_seen() else this_node()
    )
    if blind := [node for answer in answers if (node := answer.get()) is not None]:
        raise not_shared(blind, mark.folder)


def keep_faults(algorithm: ColumnarAlgorithm, folder: Path) -> None:
    """Has learners save a batch into a folder that they cannot learn from, before they say so."""
    for answer in algorithm.learner_group.foreach_learner(
        lambda learner, folder=folder: setattr(learner, "fault_folder", folder)
    ):
        answer.get()
