"""What a cloned policy agrees in with held-out demonstrations, and what to change where that is little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rayrl.algorithms.bc.agreement import agreements
from rayrl.experience import columns as c
from rayrl.experience.columns import Split
from rayrl.experience.dataset import open_dataset
from rayrl.experience.split import select_split, with_split
from rayrl.models.actor_critic_network import ActorCriticNetwork

_LITTLE = 0.9
"""Share of the ceiling below which a longer or larger fit would help."""
_MARGIN = 0.02
"""How much more than the commonest action alone a clone has to get right."""


def held_out_agreements(
    network: ActorCriticNetwork, dataset: Path, *, val_fraction: float, seed: int
) -> dict[str, Any]:
    """``agreements`` on the episodes that a seed's cloning held out."""
    batch = open_dataset(dataset).load()
    strata = c.DEMONSTRATOR if c.DEMONSTRATOR in batch.trajectory_columns else None
    split = with_split(batch, val_fraction, seed, strata=strata)
    return agreements(network, select_split(split, Split.val))


def warnings_of(summary: Mapping[str, Any], *, in_replays: bool = False) -> Iterator[str]:
    """What to change where nothing was held out, or a clone of discrete actions is worse than it could be.

    One sentence each.

    Args:
        summary: ``val_accuracy``, ``ceiling_accuracy`` and ``agreement`` of a pretrained policy.
        in_replays: whether it was cloned from replays.
    """
    reached, ceiling = summary.get("val_accuracy"), summary.get("ceiling_accuracy")
    agreement = summary.get("agreement", {})
    commonest = agreement.get("commonest")
    if agreement.get("all", {}).get("steps") == 0:
        more = "give more replays (collect.replays)" if in_replays else "raise collect.steps"
        yield (
            "nothing is held out, since pretrain.val_fraction of so few episodes is none: the epoch with the "
            "lowest training loss is kept, and nothing tells how well it clones: raise "
            f"pretrain.val_fraction, or {more}"
        )
    if reached is None:
        return
    if commonest is not None and reached < commonest + _MARGIN < 1:
        yield (
            f"the clone agrees with {reached:.1%} of held-out decisions, and always taking the commonest "
            f"action would with {commonest:.1%}: raise pretrain.epochs or pretrain.lr, set pretrain.balance, "
            f"or {'give' if in_replays else 'collect'} less contradictory demonstrations "
            f"(collect.{'replays' if in_replays else 'demonstrators'})"
        )
    elif ceiling and reached < _LITTLE * ceiling:
        yield (
            f"the clone agrees with {reached:.1%} of held-out decisions, and could with {ceiling:.1%}: "
            f"{'give more replays' if in_replays else 'raise collect.steps'}, then pretrain.epochs (with "
            "pretrain.early_stop_patience), or set pretrain.input_noise"
        )
    actions = agreement.get("actions", {})
    never = [name for name, found in actions.items() if found["value"] == 0 and found["steps"] >= 20]
    if never and reached > 0:
        yield (
            f"the clone never takes action {', '.join(never)} where it was demonstrated: set "
            "pretrain.balance: [action]"
        )
