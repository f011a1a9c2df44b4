"""A trial's checkpoints: complete once they have their name, and checked before they are used.

checkpoints/
    step_<n>/            RLlib's checkpoint, with manifest.json: its files by size and SHA-256; the newest few
    latest               link to the newest one
    damaged_step_<n>/    one that was found to be damaged
    replay_segments/     what checkpoints of a replay buffer share
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from rayrl.algorithms.algorithm import ColumnarAlgorithm
from rayrl.errors import IntegrityError, StorageError
from rayrl.storage.atomic import atomic_folder, atomic_link, remove_leftovers, storage_errors
from rayrl.storage.manifest import verify_outputs, write_manifest

_PREFIX = "step_"
_LATEST = "latest"
_NEEDED = ("algorithm_state.pkl", "learner_group/learner/state.pkl")
"""RLlib does not look at whether a remote learner could save itself."""

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one trial.

    Args:
        folder: where they are; made by ``prepare``.
        keep: how many of the newest are kept.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self._keep = keep

    @property
    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, in order."""
        numbers = (path.name.removeprefix(_PREFIX) for path in self.folder.glob(f"{_PREFIX}*"))
        return sorted(int(number) for number in numbers if number.isdecimal())

    @property
    def newest(self) -> int:
        """Step of the newest one; 0 where there is none."""
        return max(self.steps, default=0)

    @property
    def segments(self) -> Path:
        """What checkpoints of a replay buffer share."""
        return self.folder / "replay_segments"

    def path(self, step: int) -> Path:
        """The folder of the checkpoint of a step."""
        return self.folder / f"{_PREFIX}{step:012d}"

    def prepare(self) -> None:
        """Makes the folder ready; what a killed process left is removed.

        Raises:
            StorageError: it cannot be written.
        """
        with storage_errors(self.folder, "checkpoints"):
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)

    def take_intact(self) -> tuple[int, list[str]]:
        """Looks for the newest checkpoint whose files are all as they were written; others are put aside.

        Returns:
            Its step, 0 where there is none, and what was wrong with those put aside, a sentence each.
        """
        problems = []
        while step := self.newest:
            try:
                verify_outputs(self.path(step))
                break
            except IntegrityError as error:
                problems.append(f"the checkpoint of step {step:,} is damaged ({error.message})")
                aside = self.folder / f"damaged_{self.path(step).name}"
                shutil.rmtree(aside, ignore_errors=True)
                self.path(step).rename(aside)
        if problems:
            self._link()
            instead = f"that of step {step:,} is used" if step else "there is no other: training begins anew"
            problems[-1] += f", and {instead}"
            for problem in problems:
                _log.warning("%s: %s", self.folder, problem)
        return step, problems

    def save(self, algorithm: ColumnarAlgorithm) -> None:
        """Writes a checkpoint under its final name only when it is complete, and drops older ones.

        Raises:
            StorageError: the disk is full, not writable, or not shared by the learners' nodes.
        """
        target = self.path(algorithm.env_steps)
        if not target.exists():
            with atomic_folder(target, "a checkpoint") as folder:
                algorithm.save_to_path(str(folder))
                for file in _NEEDED:
                    if not (folder / file).is_file():
                        raise StorageError(
                            f"a checkpoint lacks {file}",
                            where=str(target),
                            remedy="the folder must be on a file system that the learners' nodes share",
                        )
                write_manifest(folder, name=target.name, inputs={}, options={})
            self._link()
        for step in self.steps[: -self._keep]:
            shutil.rmtree(self.path(step))
        if algorithm.replay is not None:
            algorithm.replay.sweep([self.path(step) for step in self.steps])

    def forget_after(self, step: int) -> None:
        """Drops the checkpoints after a step."""
        for later in self.steps:
            if later > step:
                shutil.rmtree(self.path(later))
        self._link()

    def _link(self) -> None:
        latest = self.folder / _LATEST
        if self.newest:
            atomic_link(latest, self.path(self.newest).name, "the link to the newest checkpoint")
        else:
            latest.unlink(missing_ok=True)
