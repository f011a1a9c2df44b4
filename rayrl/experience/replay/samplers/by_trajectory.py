"""Samplers whose weights follow from what is known of a trajectory: high_reward, on_policiness."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from rayrl.errors import DataError
from rayrl.experience.replay.requests import Picked
from rayrl.experience.replay.samplers.base import Census, Sampler, register_sampler
from rayrl.experience.replay.view import View


@register_sampler("high_reward")
class HighReward(Sampler):
    """Only items of the trajectories with the highest returns, all equally likely.

    The return is that of the episode; of an unfinished one, so far.
    """

    fraction: float = pydantic.Field(0.25, gt=0, le=1)
    """Share of the trajectories; with equal returns at the limit it may be more."""

    def census(self, view: View) -> Census:
        """The returns of all trajectories."""
        return {"returned": view.candidates.returned}

    def mass(self, view: View, union: Census) -> float:
        """Number of items of trajectories with high returns."""
        return float(self._weights(view, union).sum())

    def draw(self, view: View, n: int, union: Census, generator: np.random.Generator) -> Picked:
        """Draws items of trajectories with high returns, all equally likely."""
        return view.of_trajectories(self._weights(view, union), n, generator)

    def _weights(self, view: View, union: Census) -> NDArray[np.float64]:
        returned = union["returned"]
        if not len(returned):
            return np.zeros(0)
        best = int(np.ceil(self.fraction * len(returned)))
        least = np.partition(returned, len(returned) - best)[len(returned) - best]
        weights: NDArray[np.float64] = view.candidates.items * (view.candidates.returned >= least)
        return weights.astype(np.float64)


@register_sampler("on_policiness")
class OnPoliciness(Sampler):
    """Trajectories that the scored policy is likely to have made; of each an item, all equally likely.

    With O(τ) the log-likelihood of the actions of trajectory τ, its weight is max(0, (O(τ) - mean) / std),
    mean and population standard deviation over all trajectories of the union. Where all are equally likely to
    have been made, all weigh the same.
    """

    needs_scores: ClassVar[bool] = True
    likelihood: Literal["mean", "sum"] = "mean"
    """``mean``: O(τ) is per step. ``sum``: over all steps, which favours short trajectories."""

    def census(self, view: View) -> Census:
        """Number, mean and sum of squared deviations of the scores.

        Raises:
            DataError: a trajectory has no score.
        """
        scores = self._scores(view)
        if unscored := int(np.isnan(scores).sum()):
            raise DataError(
                f"{unscored} of {len(scores)} trajectories have no on-policiness score",
                where="sampler 'on_policiness'",
                remedy="score them first: buffer.score(agent), or buffer.sample_by_on_policiness(n, agent)",
            )
        mean = float(scores.mean()) if len(scores) else 0.0
        moments = {"count": float(len(scores)), "mean": mean, "squares": float(((scores - mean) ** 2).sum())}
        return {name: np.array([value]) for name, value in moments.items()}

    def mass(self, view: View, union: Census) -> float:
        """Sum of the weights of the trajectories."""
        return float(self._weights(view, union).sum())

    def draw(self, view: View, n: int, union: Census, generator: np.random.Generator) -> Picked:
        """Draws trajectories by weight, and of each an item."""
        return view.of_trajectories(self._weights(view, union), n, generator)

    def _scores(self, view: View) -> NDArray[np.float64]:
        found = view.candidates
        return found.score * found.length if self.likelihood == "sum" else found.score

    def _weights(self, view: View, union: Census) -> NDArray[np.float64]:
        count, means, squares = union["count"], union["mean"], union["squares"]
        total = count.sum()
        if total == 0:
            return np.zeros(0)
        # Var = (Σ_s M2_s + Σ_s n_s (mean_s - mean)²) / n   (Chan, Golub and LeVeque 1983)
        mean = float((count * means).sum() / total)
        variance = float((squares + count * (means - mean) ** 2).sum() / total)
        scores = self._scores(view)
        if variance <= np.finfo(np.float64).eps * mean**2:
            return np.ones(len(scores))
        weights: NDArray[np.float64] = np.maximum(0.0, (scores - mean) / np.sqrt(variance))
        return weights
