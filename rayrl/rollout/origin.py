"""Origin: who collects, which names every trajectory and every random stream."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from rayrl.config.seeding import Role, environment_seed, generator
from rayrl.experience.columns import Source


@dataclass(frozen=True, slots=True)
class Origin:
    """Who collects: what is stored with every trajectory, and what names the random streams.

    Args:
        run: name of the run; part of the episode ids.
        seed: seed of the run.
        producer: index of the worker, below 65,536.
        role: what the randomness is for.
        source: what kind of experience this is.
        domain: task family, or None.
        task: level, seed or prompt, or None.
    """

    run: str
    seed: int
    producer: int = 0
    role: Role = Role.rollout
    source: Source = Source.rollout
    domain: str | None = None
    task: str | None = None

    @property
    def run_hash(self) -> int:
        """32 bits that stand for the run."""
        return int.from_bytes(blake2b(self.run.encode(), digest_size=4).digest(), "big")

    def episode_ids(
        self, epoch: int, slots: NDArray[np.int64], numbers: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """Ids of episodes, ``(n, 2)``: run (32 bits), producer (16), epoch (16); slot (24), number (40).

        Args:
            epoch: how often the worker has been restarted.
            slots: ``(n,)`` sub-environments.
            numbers: ``(n,)`` how many episodes these had begun before.
        """
        ids = np.empty((len(slots), 2), np.uint64)
        ids[:, 0] = self.run_hash << 32 | (self.producer & 0xFFFF) << 16 | epoch & 0xFFFF
        ids[:, 1] = (slots << 40 | numbers).astype(np.uint64)
        return ids

    def action_generator(self, epoch: int, sequence: int) -> np.random.Generator:
        """What the actions of one batch are drawn from."""
        return generator(self.seed, self.role, self._rank(epoch), sequence)

    def reset_seed(self, epoch: int, sequence: int, attempt: int) -> int:
        """Seed of a reset: the first in a batch, or one more after the environment raised."""
        return environment_seed(self.seed, self.role, self._rank(epoch), sequence + (attempt << 32))

    def _rank(self, epoch: int) -> int:
        # A restarted worker draws what its predecessor did not.
        return self.producer + (epoch << 16)


def slots_of(episode_ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """``(n,)`` the sub-environments that episode ids, ``(n, 2)``, name."""
    return (episode_ids[:, 1] >> np.uint64(40)).astype(np.int64)
