"""ShardLink: what the caller of a shard keeps of it: adds on their way, and what it has said of itself."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayTaskError

from rayrl.errors import DataError, RayrlError, StorageError, TrainingError
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.replay.adding import Added
from rayrl.experience.replay.lanes import Lanes
from rayrl.experience.replay.sharded.actor import start_shard
from rayrl.experience.replay.sharded.options import ShardOptions
from rayrl.experience.replay.sharded.server import Ack, Prepare, ShardSetup

_RETRY_S = 0.2
"""Pause between two looks at whether a shard has come back."""
UPDATES_IN_FLIGHT = 8

_log = logging.getLogger(__name__)


class ShardLostError(Exception):
    """A shard is dead, or does not answer; caught within this package.

    Args:
        rank: which one.
        reason: how that shows.
    """

    def __init__(self, rank: int, reason: str) -> None:
        super().__init__(rank, reason)
        self.rank = rank
        self.reason = reason


@dataclass(slots=True)
class Update:
    """A change of priorities on its way to a shard.

    Args:
        method: of the shard.
        arguments: of it: arrays, or references to such.
        answer: reference to the shard's.
    """

    method: str
    arguments: tuple[Any, ...]
    answer: Any = None


@dataclass(slots=True)
class Add:
    """A batch on its way to a shard.

    Args:
        batch: it, or a reference to it, kept until the shard has it.
        producer: who made it.
        partition: where to.
        lanes: which part of it; None: all.
        idempotent: whether to pass over what was added before.
        prepare: what the shard makes of it before it takes it in.
        ticket: its number.
        answer: reference to the shard's.
    """

    batch: TrajectoryBatch | ray.ObjectRef
    producer: int
    partition: str | None
    lanes: Lanes | None
    idempotent: bool
    prepare: Prepare | None = None
    ticket: int = 0
    answer: Any = None


class ShardLink:
    """One shard, as its caller sees it.

    Args:
        setup: what the shard is made from.
        options: of all shards.

    Attributes:
        rank: the shard's number.
        actor: the shard.
        steps: steps that it held when it last said so.
        life: how often it had started then; 0 where it has not said yet.
        restarts: how often it was seen to have started again.
        failed: errors of adds and of updates of priorities that nobody has been told yet.
        adding: adds that it has not acknowledged.
        updates: changes of priorities that it has not acknowledged.
        is_greeted: whether it is known which ticket comes next.
    """

    def __init__(self, setup: ShardSetup, options: ShardOptions) -> None:
        self.rank = setup.rank
        self.actor = start_shard(setup, options)
        self.steps = 0
        self.life = 0
        self.restarts = 0
        self.failed: list[RayrlError] = []
        self.adding: deque[Add] = deque()
        self._options = options
        self._ticket = 0
        self.is_greeted = options.durability == "none"
        self._acknowledged = 0
        self.updates: deque[Update] = deque()

    def begin_anew(self) -> None:
        """Forgets what was known of a shard that has gone to a checkpoint; with a spool it begins a life."""
        self.life = 0
        self.is_greeted = self._options.durability == "none"

    def greet(self) -> None:
        """Learns which ticket comes next: a spool that is taken over has counted some already.

        Raises:
            ShardLostError: the shard is dead.
        """
        if not self.is_greeted:
            self._ticket = self._acknowledged = self.ask(self.actor.resume.remote(0)).expected - 1
            self.is_greeted = True

    def send(self, add: Add) -> None:
        """Sends a batch; waits for the oldest one on its way where there are too many.

        Raises:
            ShardLostError: the shard is dead; the batch stays among those on their way.
        """
        self._ticket += 1
        add.ticket = self._ticket
        self.adding.append(add)
        self._submit(add)
        self.settle(self._options.adds_in_flight)

    def settle(self, most: int = 0) -> list[Added]:
        """Waits until no more than ``most`` adds are on their way; gives what became of the others.

        Raises:
            ShardLostError: the shard is dead.
        """
        settled: list[Added] = []
        while self.adding:
            first = self.adding[0]
            if len(self.adding) <= most and not ray.wait([first.answer], timeout=0)[0]:
                break
            try:
                ack: Ack = self.ask(first.answer)
            except RayrlError as error:
                self.failed.append(error)
            else:
                if ack.added is None:
                    self.come_back()
                    continue
                self.heard(ack.life)
                self.steps = ack.steps
                settled.append(ack.added)
            self._acknowledged = max(self._acknowledged, first.ticket)
            self.adding.popleft()
        return settled

    def update(self, method: str, *arguments: Any) -> None:
        """Sends a change of priorities."""
        self.updates.append(Update(method, arguments))
        self._submit_update(self.updates[-1])

    def settle_updates(self, most: int = UPDATES_IN_FLIGHT) -> None:
        """Waits until no more than ``most`` changes of priorities are on their way.

        Raises:
            ShardLostError: the shard is dead; what it has not acknowledged stays among those on their way.
        """
        while self.updates:
            if len(self.updates) <= most and not ray.wait([self.updates[0].answer], timeout=0)[0]:
                break
            try:
                self.ask(self.updates[0].answer)
            except RayrlError as error:
                self.failed.append(error)
            self.updates.popleft()

    def ask(self, answer: Any) -> Any:
        """Waits for an answer of the shard.

        Raises:
            ShardLostError: it is dead, or does not answer in time.
            RayrlError: what it raised.
        """
        try:
            return ray.get(answer, timeout=self._options.answer_timeout_s)
        except RayTaskError as error:
            raise self._cause(error) from error
        except RayActorError as error:
            if error.actor_id not in (None, self.actor._actor_id.hex()):
                # What the call was to work on never came.
                raise self._lost_input(error) from error
            raise ShardLostError(self.rank, str(error)) from error
        except ObjectLostError as error:
            raise self._lost_input(error) from error
        except GetTimeoutError:
            self.kill()
            reason = f"it did not answer within {self._options.answer_timeout_s:g} s, and was killed"
            raise ShardLostError(self.rank, reason) from None

    def heard(self, life: int) -> None:
        """Notes which life of the shard answered."""
        if self.life and life != self.life:
            self.restarts += 1
            _log.warning(
                "replay shard %d was restarted: all that it had acknowledged is there, and priorities begin "
                "again at the highest",
                self.rank,
            )
        self.life = life

    def come_back(self) -> None:
        """Waits until a shard that was lost is there again, and sends it what it has not acknowledged.

        Raises:
            TrainingError: it does not come back in time.
            StorageError: it came back without what it had acknowledged.
        """
        deadline = time.monotonic() + self._options.restart_timeout_s
        first = self.adding[0].ticket if self.adding else self._ticket + 1
        while True:
            try:
                ack: Ack = ray.get(
                    self.actor.resume.remote(first), timeout=max(deadline - time.monotonic(), _RETRY_S)
                )
                break
            except RayTaskError as error:
                raise self._cause(error) from error
            except (RayActorError, GetTimeoutError) as error:
                if time.monotonic() >= deadline:
                    raise TrainingError(
                        f"did not come back within {self._options.restart_timeout_s:g} s: {error}",
                        where=f"replay shard {self.rank}",
                        remedy="look at its log; raise restart_timeout_s if its spool takes longer to read",
                    ) from error
                time.sleep(_RETRY_S)
        if ack.ticket < self._acknowledged and ack.steps < self.steps:
            raise StorageError(
                f"came back with {ack.steps} steps where it had acknowledged {self.steps}",
                where=f"replay shard {self.rank}",
                remedy="put the spool on a file system that all nodes share, or choose durability none",
            )
        self.heard(ack.life)
        self.steps = ack.steps
        for add in self.adding:  # what it has already it passes over
            self._submit(add)
        for update in self.updates:  # of steps that came before, which have their row ids again
            self._submit_update(update)

    def kill(self) -> None:
        """Ends the shard; with a spool Ray starts it again."""
        ray.kill(self.actor, no_restart=self._options.durability == "none")

    def _submit(self, add: Add) -> None:
        add.answer = self.actor.add.remote(
            add.ticket, add.batch, add.partition, add.lanes, add.idempotent, add.prepare
        )

    def _submit_update(self, update: Update) -> None:
        update.answer = getattr(self.actor, update.method).remote(*update.arguments)

    def _lost_input(self, error: Exception) -> DataError:
        return DataError(f"what it was sent is lost: {error}", where=f"replay shard {self.rank}")

    def _cause(self, error: RayTaskError) -> RayrlError:
        """The error behind a call: rayrl's own as it is, any other with its remote traceback."""
        if isinstance(error.cause, RayrlError):
            return error.cause
        return TrainingError(f"raised {error.cause!r}\n{error}", where=f"replay shard {self.rank}")
