"""Every error that a user of rayrl can meet.

    RayrlError
    ├── ConfigError              an experiment file, an option or an override is wrong
    ├── DataError                experience in memory or on disk is wrong
    │   ├── SpaceError           a Gymnasium space is unsupported, or two spaces differ
    │   └── IntegrityError       a file is missing, cut short, altered or of an unknown version
    ├── EnvError                 an environment cannot be built, or keeps failing
    ├── PolicyError              a policy folder or a set of weights does not fit
    ├── ResourceError            the machine or the cluster cannot give what is asked for
    │   └── StorageError         the disk is full, not writable, or not shared
    ├── RunError                 a run folder or a run is not in the state that is needed
    │   ├── RunLockedError       another process holds the run folder
    │   └── StageError           a stage of a run failed
    └── TrainingError            training cannot go on
        └── LearnerTimeoutError  a learner stopped answering

Each says what was wrong, where, and what would be right; the command line prints just that.
"""

from __future__ import annotations


class RayrlError(Exception):
    """Base of all errors that rayrl raises for its users.

    Args:
        message: what was wrong, naming the field and the value.
        where: the file, the field or the component in which it was found.
        remedy: what would be right, or what to do about it.
    """

    def __init__(self, message: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.message = message
        self.where = where
        self.remedy = remedy
        super().__init__(message, where, remedy)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by Exception's own pickling, and errors cross Ray actors.
        return _rebuild, (type(self), self.message, self.where, self.remedy)


def _rebuild(cls: type[RayrlError], message: str, where: str | None, remedy: str | None) -> RayrlError:
    return cls(message, where=where, remedy=remedy)


class ConfigError(RayrlError):
    """An experiment file, an option or an override is wrong."""


class DataError(RayrlError):
    """Experience in memory or on disk is wrong."""


class SpaceError(DataError):
    """A Gymnasium space is unsupported, or two spaces that must agree differ."""


class IntegrityError(DataError):
    """A file is missing, cut short, altered, or of a format version that is not known."""


class EnvError(RayrlError):
    """An environment cannot be built, or keeps failing."""


class PolicyError(RayrlError):
    """A policy folder or a set of weights does not fit where it is to be used."""


class ResourceError(RayrlError):
    """The machine or the cluster cannot give what is asked for."""


class StorageError(ResourceError):
    """The disk is full, not writable, or not shared by the nodes that need it."""


class RunError(RayrlError):
    """A run folder or a run is not in the state that is needed."""


class RunLockedError(RunError):
    """Another process holds the run folder."""


class StageError(RunError):
    """A stage of a run failed."""


class TrainingError(RayrlError):
    """Training cannot go on."""


class LearnerTimeoutError(TrainingError):
    """A learner stopped answering."""
