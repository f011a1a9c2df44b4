"""Fleet: all shards of a buffer, asked together, and what is done when one of them is lost.

| loop   | consumes                   | waits for                 | unblocked by                            |
|--------|----------------------------|---------------------------|-----------------------------------------|
| ask    | calls to all shards        | every answer              | answers, a dead shard, a time limit     |
| add    | batches                    | the oldest add of a shard | its acknowledgement, a dead shard, time |
| return | a lost shard with a spool  | its restart               | its first answer, a time limit          |
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from rayrl.errors import TrainingError
from rayrl.experience.replay.lanes import Lanes
from rayrl.experience.replay.sharded.link import Add, ShardLink, ShardLostError
from rayrl.experience.replay.sharded.options import ShardOptions
from rayrl.experience.replay.sharded.routing import Routing
from rayrl.experience.replay.sharded.server import Prepare, ShardSetup

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Fleet:
    """The shards that are alive.

    A shard without a spool that is lost once is never asked again, whatever it may still say.

    Args:
        setups: what the shards are made from.
        options: of the shards.
        producers: number of producers.

    Attributes:
        losses: steps that were on shards that died for good, by shard.
    """

    def __init__(self, setups: Sequence[ShardSetup], options: ShardOptions, producers: int) -> None:
        self.links = {setup.rank: ShardLink(setup, options) for setup in setups}
        self.losses: dict[int, int] = {}
        self._options = options
        self._routing = Routing(options.shards, producers)

    @property
    def lost_steps(self) -> int:
        """Steps that were on shards that died for good."""
        return sum(self.losses.values())

    @property
    def restarts(self) -> int:
        """How often shards came back."""
        return sum(link.restarts for link in self.alive)

    @property
    def alive(self) -> list[ShardLink]:
        """The shards that are there, in order."""
        return list(self.links.values())

    def add(
        self,
        batch: Any,
        producer: int,
        partition: str | None,
        *,
        idempotent: bool,
        prepare: Prepare | None = None,
    ) -> None:
        """Sends a batch to its shards.

        Raises:
            TrainingError: no shard is left.
        """
        for rank, lanes in self._routing.targets(producer).items():
            self._send(rank, Add(batch, producer, partition, lanes, idempotent, prepare))

    def settle(self) -> None:
        """Waits until all adds and updates are acknowledged."""
        for rank in list(self.links):
            self._with_link(rank, lambda link: link.settle())
            self._with_link(rank, lambda link: link.settle_updates(0))

    def raise_failures(self) -> None:
        """Raises the first error that an add or an update of priorities ended with, if there is one."""
        failed = [error for link in self.alive for error in link.failed]
        for link in self.alive:
            link.failed.clear()
        if failed:
            for error in failed[1:]:
                _log.warning("another add failed: %s", error)
            raise failed[0]

    def ask(self, call: Callable[[ShardLink], Any]) -> list[Any]:
        """Calls all shards at once, and gives their answers in order.

        Args:
            call: makes the call to one shard.

        Raises:
            ShardLostError: one of them is lost.
            RayrlError: what one of them raised.
        """
        links = self.alive
        answers = [call(link) for link in links]
        try:
            found: list[Any] = ray.get(answers, timeout=self._options.answer_timeout_s)
            return found
        except RayError:
            return [link.ask(answer) for link, answer in zip(links, answers, strict=True)]

    def persist(self, work: Callable[[], T]) -> T:
        """Does what needs all shards; again, where one is lost meanwhile.

        Raises:
            TrainingError: no shard is left, or one does not come back.
        """
        while True:
            self._check_alive()
            try:
                return work()
            except ShardLostError as error:
                self._recover(error)

    def update(self, row_ids: Any, priorities: Any, shards: Any) -> None:
        """Sends new priorities to all shards; each takes its own, and one counts those of lost shards."""
        self._check_alive()
        for link in self.alive:
            link.update("update_priorities", row_ids, priorities, shards)
        if self.losses:
            self.alive[0].update("drop_updates", shards, tuple(self.losses))
        for rank in list(self.links):
            self._with_link(rank, lambda link: link.settle_updates())

    def begin_anew(self) -> None:
        """Notes that all shards have gone to a checkpoint."""
        for link in self.alive:
            link.begin_anew()

    def close(self) -> None:
        """Ends all shards."""
        for link in self.alive:
            ray.kill(link.actor)
        self.links.clear()

    def _send(self, rank: int, add: Add) -> None:
        self._check_alive()
        self._with_link(rank, lambda link: link.greet())
        link = self.links[rank]
        try:
            link.send(add)
        except ShardLostError as error:
            self._recover(error)
            if rank in self.links:
                self._with_link(rank, lambda link: link.settle(self._options.adds_in_flight))

    def _with_link(self, rank: int, work: Callable[[ShardLink], Any]) -> None:
        """Does something with one shard, again where it was lost and came back; nothing once it is gone."""
        while rank in self.links:
            try:
                work(self.links[rank])
                return
            except ShardLostError as error:
                self._recover(error)

    def _recover(self, lost: ShardLostError) -> None:
        link = self.links.get(lost.rank)
        if link is None:
            return
        if self._options.durability == "spool":
            _log.warning("replay shard %d is lost, and waited for: %s", lost.rank, lost.reason)
            link.come_back()
            return
        del self.links[lost.rank]
        self._routing.remove(lost.rank)
        link.kill()
        self.losses[lost.rank] = link.steps
        _log.warning(
            "replay shard %d is lost with %d steps; its producers go to the other shards, and the episodes "
            "that they are in are cut there: %s",
            lost.rank,
            link.steps,
            lost.reason,
        )
        self._check_alive()
        self.alive[0].failed += link.failed
        for update in link.updates:
            if update.method == "update_priorities":
                self.alive[0].update("drop_updates", update.arguments[-1], (lost.rank,))
            else:
                self.alive[0].update(update.method, *update.arguments)
        for add in link.adding:
            self._redirect(add)

    def _redirect(self, add: Add) -> None:
        """Sends what a lost shard had not acknowledged to those that stand in for it."""
        if add.lanes is None:
            self._send(self._routing.home(add.producer), add)
            return
        for lane in add.lanes.taken:
            # That shard had other lanes of the batch, so it would take this one for a duplicate.
            part = Lanes(add.lanes.count, (lane,))
            again = Add(add.batch, add.producer, add.partition, part, False, add.prepare)
            self._send(self._routing.home(lane), again)

    def _check_alive(self) -> None:
        if not self.links:
            raise TrainingError(
                f"all {self._options.shards} replay shards are lost, with {self.lost_steps} steps",
                where="replay buffer",
                remedy="look at their logs; with durability spool shards come back with what they held",
            )
