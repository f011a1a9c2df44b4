"""The learning rate of each gradient step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rayrl.algorithms.pretrain_options import LRSchedule


@dataclass(frozen=True, slots=True)
class LearningRate:
    """A warm-up, and then a schedule.

        t < W:      lr · (t + 1) / W
        else        p = (t − W) / (T − 1 − W)
        constant:   lr
        linear:     lr + (final − lr) · p
        cosine:     final + (lr − final) · (1 + cos πp) / 2

    Args:
        lr: the highest.
        kind: the schedule.
        final: of step T − 1.
        warmup: W, steps of the warm-up.
        total: T, gradient steps in all.
    """

    lr: float
    kind: LRSchedule = "constant"
    final: float = 0.0
    warmup: int = 0
    total: int = 1

    def at(self, step: int) -> float:
        """The learning rate of a gradient step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.kind == "constant":
            return self.lr
        progress = min(1.0, (step - self.warmup) / max(1, self.total - 1 - self.warmup))
        if self.kind == "linear":
            return self.lr + (self.final - self.lr) * progress
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * progress)) / 2
