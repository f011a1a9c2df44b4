"""Rounds of demonstrations: one episode in each of several sub-environments, here or by Ray actors.

| loop    | consumes | waits for                         | unblocked by                                |
|---------|----------|-----------------------------------|---------------------------------------------|
| actor   | rounds   | a round                           | the caller, who keeps two rounds per actor  |
| caller  | batches  | the oldest round that is not done | its batch, or the error that ended it       |

What a round gives depends on its part and number alone, so it does not matter who plays it, and an actor that
dies is replaced by one that plays its rounds again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from rayrl.config.seeding import Role
from rayrl.envs.spec import EnvSpec
from rayrl.errors import RayrlError, ResourceError
from rayrl.experience import columns as c
from rayrl.experience.batch import TrajectoryBatch
from rayrl.experience.ragged import Column, Ragged
from rayrl.rollout.collector import Collector
from rayrl.rollout.demo_plan import BehaviorSource, Part
from rayrl.rollout.origin import Origin
from rayrl.rollout.vector_env import make_vector_env


@dataclass(frozen=True, slots=True)
class Round:
    """One episode in every sub-environment.

    Args:
        part: who acts, and in which scenario.
        number: place among the part's rounds.
        max_steps: where an episode that has not ended is cut.
    """

    part: Part
    number: int
    max_steps: int


@dataclass(frozen=True, slots=True)
class Setting:
    """Where demonstrators act.

    Args:
        env: the environment as trained.
        scenarios: the environment in each scenario's variants.
        sources: what makes each demonstrator's behaviour from a seed.
        num_envs: number of sub-environments.
        seed: names all randomness, together with a round.
        run: part of the episodes' ids.
    """

    env: EnvSpec
    scenarios: Mapping[str, tuple[EnvSpec, ...]]
    sources: Mapping[str, BehaviorSource]
    num_envs: int
    seed: int
    run: str


class RoundPlayer:
    """Plays rounds in vector environments of its own, one for each variant of a scenario that it meets."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._collectors: dict[tuple[str, int, int], Collector] = {}

    def play(self, round_: Round) -> TrajectoryBatch:
        """One trajectory of each sub-environment, in their order.

        Where a scenario has several variants, the sub-environments are of each in turn.

        Raises:
            EnvError: the environment cannot be built, or keeps raising.
            DataError: the demonstrator raised, or gave what is no action.
        """
        part, setting, number = round_.part, self._setting, round_.number
        slots = np.arange(setting.num_envs)
        variants = len(setting.scenarios.get(part.scenario, (setting.env,)))
        # Parts begin with different variants, since a small part may have but one trajectory.
        variant_of = (part.index + number * setting.num_envs + slots) % variants
        played, order = [], []
        for variant in np.unique(variant_of).tolist():
            own = slots[variant_of == variant]
            played.append(self._play_variant(round_, variant, len(own), number * variants + variant))
            order.append(own)
        batch = TrajectoryBatch.concat(played).select(np.argsort(np.concatenate(order)))
        columns: dict[str, Column] = {
            c.EPISODE_ID: self._origin(part.index).episode_ids(0, slots, np.full_like(slots, number)),
            c.DEMONSTRATOR: Ragged.from_text([part.demonstrator] * setting.num_envs),
        }
        if setting.scenarios:
            columns[c.SCENARIO] = Ragged.from_text([part.scenario] * setting.num_envs)
        return batch.with_trajectory_columns(**columns)

    def close(self) -> None:
        """Closes the environments."""
        for collector in self._collectors.values():
            collector.close()

    def _play_variant(self, round_: Round, variant: int, num_envs: int, sequence: int) -> TrajectoryBatch:
        part = round_.part
        collector = self._collector(part.scenario, variant, num_envs)
        origin = collector.origin = self._origin(part.index)
        collector.sequence = sequence
        seed = int(origin.action_generator(0, sequence).integers(2**63))
        behavior = self._setting.sources[part.demonstrator](seed)
        return collector.collect_one_each(behavior, max_steps=round_.max_steps).batch

    def _collector(self, scenario: str, variant: int, num_envs: int) -> Collector:
        key = scenario, variant, num_envs
        if key not in self._collectors:
            env = self._setting.scenarios.get(scenario, (self._setting.env,))[variant]
            make_env = partial(make_vector_env, env.id, env.config, num_envs)
            self._collectors[key] = Collector(make_env, self._origin(0))
        return self._collectors[key]

    def _origin(self, index: int) -> Origin:
        setting = self._setting
        return Origin(setting.run, setting.seed, index, Role.demonstration, c.Source.demo)


def play_here(setting: Setting, rounds: Iterable[Round]) -> Generator[tuple[Round, TrajectoryBatch]]:
    """Plays rounds in this process."""
    with closing(RoundPlayer(setting)) as player:
        for round_ in rounds:
            yield round_, player.play(round_)


def play_by_actors(
    setting: Setting, rounds: Iterable[Round], workers: int, resource_timeout_s: float
) -> Generator[tuple[Round, TrajectoryBatch]]:
    """Plays rounds by Ray actors, some of them ahead of the caller; gives them in their order.

    Raises:
        ResourceError: Ray has not started all actors in time.
        RayrlError: what a round raised.
    """
    import ray
    from ray.exceptions import RayTaskError

    actor = ray.remote(RoundPlayer).options(num_cpus=1, max_restarts=2, max_task_retries=2)
    players = [actor.remote(setting) for _ in range(workers)]
    try:
        # An actor is there when any of its methods has returned.
        there = [player.__ray_ready__.remote() for player in players]
        ready, missing = ray.wait(there, num_returns=workers, timeout=resource_timeout_s)
        if missing:
            raise ResourceError(
                f"Ray started {len(ready)} of {workers} workers within {resource_timeout_s:g} s",
                where="collect.workers",
                remedy=f"ask for fewer, or give Ray {workers} free CPUs; 0 collects without any",
            )
        under_way: deque[tuple[Round, ray.ObjectRef]] = deque()
        for turn, round_ in enumerate(rounds):
            under_way.append((round_, players[turn % workers].play.remote(round_)))
            if len(under_way) == 2 * workers:
                oldest, batch = under_way.popleft()
                yield oldest, ray.get(batch)
        for oldest, batch in under_way:
            yield oldest, ray.get(batch)
    except RayTaskError as error:
        if isinstance(error.cause, RayrlError):
            raise error.cause from error
        raise
    finally:
        for player in players:
            ray.kill(player)
