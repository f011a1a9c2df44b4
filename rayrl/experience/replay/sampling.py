"""What can be drawn from a replay buffer, whether it is in this process or over shards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from rayrl.experience.replay import scores
from rayrl.experience.replay.groups import EVERYWHERE, Wanted, Where
from rayrl.experience.replay.options import ReplayOptions
from rayrl.experience.replay.requests import Fragments, Request, Target, Trajectories, Transitions
from rayrl.experience.replay.samplers import OnPoliciness, Sampler, make_sampler
from rayrl.experience.replay.samples import FragmentSample, TrajectorySample, TransitionSample
from rayrl.experience.replay.union import Drawn


class Sampled(ABC):
    """The sampling methods of replay buffers: each makes a request, which the buffer answers.

    Attributes:
        options: partitions, capacities, priorities, splits.
    """

    options: ReplayOptions

    @abstractmethod
    def draw_request(self, request: Request, sizes: Sequence[int]) -> list[Drawn]:
        """Draws several samples of what a request asks for, to be fetched where they are used.

        Args:
            request: what to draw.
            sizes: items of each sample.

        Raises:
            DataError: there is nothing to draw, or no such column.
        """

    @abstractmethod
    def score(
        self,
        agent: scores.Scorer,
        *,
        policy_version: int | None = None,
        max_age: int = 0,
        where: Where | None = None,
    ) -> int:
        """Computes on-policiness scores that are missing or too old, and gives how many.

        Arguments and errors are those of ``sample_by_on_policiness``.
        """

    def sample_transitions(
        self,
        n: int,
        *,
        n_step: int = 1,
        gamma: float = 0.99,
        sampler: str | Sampler = "uniform",
        where: Where | None = None,
        columns: tuple[str, ...] | None = None,
    ) -> TransitionSample:
        """Draws single steps, with their n-step returns.

        Args:
            n: how many.
            n_step: most steps of a return; it ends with its trajectory, and ``discounts`` says how far it
                went.
            gamma: discount γ.
            sampler: by name, or made.
            where: which trajectories to draw from.
            columns: step columns wanted beside observation, actions and rewards; all when not given.

        Raises:
            DataError: there is nothing to draw, or no such column.
            ConfigError: there is no such sampler.
        """
        request = _request(Transitions(n_step, gamma), sampler, where, columns)
        drawn: TransitionSample = self._sample(request, n)
        return drawn

    def draw_transitions(
        self,
        sizes: Sequence[int],
        *,
        n_step: int = 1,
        gamma: float = 0.99,
        sampler: str | Sampler = "uniform",
        where: Where | None = None,
        columns: tuple[str, ...] | None = None,
    ) -> list[Drawn]:
        """Draws several samples of single steps, one for each learner say, to be fetched where they are used.

        Arguments and errors are those of ``sample_transitions``.

        Args:
            sizes: steps of each sample.
            n_step: see there.
            gamma: see there.
            sampler: see there.
            where: see there.
            columns: see there.
        """
        return self.draw_request(_request(Transitions(n_step, gamma), sampler, where, columns), sizes)

    def sample_fragments(
        self,
        batch_size: int,
        length: int | None = None,
        *,
        split: Wanted = None,
        sampler: str | Sampler = "uniform",
        where: Where | None = None,
        columns: tuple[str, ...] | None = None,
    ) -> FragmentSample:
        """Draws windows of consecutive steps of one episode.

        Args:
            batch_size: how many.
            length: steps of each; the option ``fragment_length`` when not given.
            split: ``train``, ``val`` or None for both.
            sampler: by name, or made.
            where: which trajectories to draw from; its split gives way to ``split``.
            columns: as in ``sample_transitions``.

        Raises:
            DataError: no trajectory is long enough.
            ConfigError: there is no such sampler.
        """
        target = Fragments(self.options.fragment_length if length is None else length)
        where = with_split(where, split)
        drawn: FragmentSample = self._sample(_request(target, sampler, where, columns), batch_size)
        return drawn

    sample2 = sample_fragments

    def sample_trajectories(
        self,
        n: int,
        *,
        min_length: int = 1,
        sampler: str | Sampler = "uniform",
        where: Where | None = None,
        columns: tuple[str, ...] | None = None,
    ) -> TrajectorySample:
        """Draws whole trajectories; arguments and errors as in ``sample_transitions``.

        Args:
            n: how many.
            min_length: fewest steps of each.
            sampler: by name, or made.
            where: which trajectories to draw from.
            columns: as in ``sample_transitions``.
        """
        drawn: TrajectorySample = self._sample(_request(Trajectories(min_length), sampler, where, columns), n)
        return drawn

    def sample_by_on_policiness(
        self,
        batch_size: int,
        agent: scores.Scorer,
        split: Wanted = None,
        *,
        length: int | None = None,
        likelihood: str = "mean",
        policy_version: int | None = None,
        max_age: int = 0,
        where: Where | None = None,
    ) -> FragmentSample:
        """Draws fragments of trajectories that an agent is likely to have made; see ``OnPoliciness``.

        Args:
            batch_size: how many.
            agent: gives the log-likelihood of each action of a batch, ``(steps,)``.
            split: ``train``, ``val`` or None for both.
            length: steps of each; the option ``fragment_length`` when not given.
            likelihood: ``mean`` per step, or ``sum`` over a trajectory.
            policy_version: the agent's version. Scores of it, or of one older by ``max_age`` at most, are
                used again; without it all are computed anew.
            max_age: see there.
            where: which trajectories to draw from; its split gives way to ``split``.

        Raises:
            DataError: no trajectory is long enough, or the agent gives values of another shape.
        """
        where = with_split(where, split)
        self.score(agent, policy_version=policy_version, max_age=max_age, where=where)
        sampler = make_sampler(OnPoliciness.name, likelihood=likelihood)
        return self.sample_fragments(batch_size, length, sampler=sampler, where=where)

    def _sample(self, request: Request, n: int) -> Any:
        return self.draw_request(request, [n])[0].fetch()


def _request(
    target: Target, sampler: str | Sampler, where: Where | None, columns: tuple[str, ...] | None
) -> Request:
    return Request(target, make_sampler(sampler), where or EVERYWHERE, columns)


def with_split(where: Where | None, split: Wanted) -> Where:
    """A filter, with another split where one is given."""
    where = where or EVERYWHERE
    if split is None:
        return where
    return Where(split, where.domain, where.task, where.source, where.partition)
