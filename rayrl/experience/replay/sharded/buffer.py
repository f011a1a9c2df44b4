"""ShardedReplayBuffer: a replay buffer over shards, each in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import ray

from rayrl.config.seeding import Role, generator
from rayrl.errors import DataError
from rayrl.experience.replay import scores
from rayrl.experience.replay.groups import Wanted, Where
from rayrl.experience.replay.live_view import LiveView, merge_views
from rayrl.experience.replay.requests import Request
from rayrl.experience.replay.samples import TrajectorySample
from rayrl.experience.replay.sampling import Sampled, with_split
from rayrl.experience.replay.sharded.drawing import draw_from_all, draw_from_one
from rayrl.experience.replay.sharded.experience import INLINE_BYTES, ShardedExperience
from rayrl.experience.replay.statistics import merge_partitions, merge_trajectories
from rayrl.experience.replay.union import Drawn


class ShardedReplayBuffer(ShardedExperience, Sampled):
    """Experience of one kind of environment, over shards; samples as ``ReplayBuffer`` does.

    Its process plans and counts; batches go from their makers to the shards, and samples from the shards to
    who fetches them. One thread uses it at a time. Calls take effect in their order: what was added before a
    draw is drawn from.

    Args:
        spaces: what the batches must fit.
        env: the environment that they come from.
        options: partitions, capacities, priorities, splits, of all shards together.
        shards: number of shards, and what becomes of what a shard holds when it dies.
        producers: number of producers of batches. Each keeps to one shard, also where it has many
            sub-environments; with fewer of them than shards each batch is dealt to all shards, episode by
            episode.
        device: where the tensors of samples go.

    Attributes:
        draws: how many draws there were; with the seed it names the generator of the next one.
    """

    def __len__(self) -> int:
        """Steps held."""
        return sum(steps for steps, _ in self._ask("size"))

    @property
    def num_trajectories(self) -> int:
        """Trajectories held; one whose shard was lost, and which went on elsewhere, counts there alone."""
        return sum(trajectories for _, trajectories in self._ask("size"))

    def update_priorities(self, row_ids: Any, priorities: Any, shards: Any = None) -> None:
        """Gives steps new priorities; those of steps that are evicted meanwhile are counted and passed over.

        Comes back at once. Each argument may be a reference to an array, such as a learner's return value.

        Args:
            row_ids: ``(n,)`` as of a sample.
            priorities: ``(n,)`` finite and at least 0, such as absolute TD errors.
            shards: ``(n,)`` as of a sample; may be left out where there is one shard.

        Raises:
            DataError: it is not said which shards the rows are from.
            RayrlError: what an earlier update was refused for: the buffer keeps no priorities, one is out of
                range, or there are not as many as ids.
        """
        if shards is None and self.shards.shards > 1:
            raise DataError("of several shards it must be said which the rows are from", where="shards")
        self._fleet.raise_failures()
        self._fleet.update(*(_sent(values) for values in (row_ids, priorities, shards)))

    def draw_request(self, request: Request, sizes: Sequence[int]) -> list[Drawn]:
        """Draws several samples of what a request asks for; see ``Sampled``.

        Their parts are references to objects that this process owns and never reads. They are complete, so
        they outlive the shards that they are from.
        """
        self._fleet.raise_failures()
        draw = draw_from_one if self.shards.shards == 1 else draw_from_all
        drawn = self._fleet.persist(
            lambda: draw(
                self._fleet, request, sizes, generator(self.options.seed, Role.replay, 0, self.draws)
            )
        )
        self.draws += 1
        return drawn

    def score(
        self,
        agent: scores.Scorer,
        *,
        policy_version: int | None = None,
        max_age: int = 0,
        where: Where | None = None,
    ) -> int:
        """Computes on-policiness scores that are missing or too old, and gives how many.

        The agent is sent to the shards, so it must be picklable. Arguments and errors are those of
        ``sample_by_on_policiness``.
        """
        return sum(self._ask("score", ray.put(agent), policy_version, max_age, where))

    def statistics(self) -> LiveView:
        """What the buffer and each shard is like now; rates are since this was last asked for.

        It costs each shard about as much as a small draw, and waits for what was sent to the shards before.
        """
        ranks = [link.rank for link in self._fleet.alive]
        views: list[LiveView] = self._ask("live_view")
        if len(views) != len(ranks):
            ranks = [link.rank for link in self._fleet.alive]
        now = time.monotonic()
        before = max(now - self._viewed, 1e-9), self._view
        self._view = merge_views(dict(zip(ranks, views, strict=True)), self._fleet.lost_steps, before)
        self._viewed = now
        return self._view

    def get_trajectory_statistics(self) -> dict[str, float]:
        """Numbers and lengths of the trajectories, their returns and on-policiness scores."""
        return merge_trajectories(self._ask("trajectory_statistics"))

    def get_partition_statistics(self) -> dict[str, dict[str, Any]]:
        """Of each partition what it holds, may hold, and has counted."""
        return merge_partitions(self._ask("partition_statistics"), self.options)

    def get_all_trajectories(self, split: Wanted = None, *, where: Where | None = None) -> TrajectorySample:
        """All trajectories, shard by shard, oldest first, as steps laid end to end; a copy in this process.

        Args:
            split: ``train``, ``val`` or None for both.
            where: which trajectories; its split gives way to ``split``.

        Raises:
            DataError: there is none.
        """
        found = [part for part in self._ask("trajectories", with_split(where, split)) if part is not None]
        if not found:
            raise DataError("no trajectories in the replay buffer", where="replay buffer")
        return TrajectorySample.join(found)


def _sent(values: Any) -> Any:
    """What to send to all shards: a large array once."""
    if isinstance(values, ray.ObjectRef) or values is None:
        return values
    array = np.asarray(values)
    return ray.put(array) if array.nbytes > INLINE_BYTES else array
