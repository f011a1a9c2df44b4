"""Drawing from shards: what is drawn stays in the object store, and is never read here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rayrl.experience.replay.requests import Request
from rayrl.experience.replay.sharded.fleet import Fleet
from rayrl.experience.replay.sharded.server import Survey
from rayrl.experience.replay.union import Drawn, split, streams_of, unite


def draw_from_one(
    fleet: Fleet, request: Request, sizes: Sequence[int], random: np.random.Generator
) -> list[Drawn]:
    """Draws samples from a single shard, which needs no census, and plans by itself."""
    (link,) = fleet.alive
    returns = link.actor.draw_alone.options(num_returns=1 + len(sizes))
    receipt, *parts = returns.remote(request, list(sizes), random)
    plan, life = link.ask(receipt)
    link.heard(life)
    return [
        Drawn((part,), (link.rank,), request, plan.mass, plan.items, child)
        for part, child in zip(parts, streams_of(random, len(sizes)), strict=True)
    ]


def draw_from_all(
    fleet: Fleet, request: Request, sizes: Sequence[int], random: np.random.Generator
) -> list[Drawn]:
    """Draws samples from the union of all shards; see ``rayrl.experience.replay.union.draw``."""
    links = fleet.alive
    surveys: list[Survey] = fleet.ask(lambda link: link.actor.survey.remote(request))
    for link, survey in zip(links, surveys, strict=True):
        link.heard(survey.life)
    union = unite([survey.census for survey in surveys])
    if union:
        offers = fleet.ask(lambda link: link.actor.offer.remote(request, union))
    else:
        offers = [survey.offer for survey in surveys]
    plan = split(offers, request, sizes, random)
    children = streams_of(random, len(sizes))
    streams = [streams_of(child, len(links)) for child in children]
    parts: list[dict[int, Any]] = [{} for _ in sizes]
    receipts: dict[int, Any] = {}
    for i, link in enumerate(links):
        wanted = np.flatnonzero(plan.counts[:, i]).tolist()
        if not wanted:
            continue
        returns = link.actor.draw.options(num_returns=1 + len(wanted))
        counts = plan.counts[wanted, i].tolist()
        receipts[i], *drawn = returns.remote(request, counts, union, [streams[j][i] for j in wanted])
        for j, part in zip(wanted, drawn, strict=True):
            parts[j][link.rank] = part
    for i, receipt in receipts.items():
        # Once it is here the samples are complete, and owned by this process.
        links[i].heard(links[i].ask(receipt))
    return [
        Drawn(tuple(part.values()), tuple(part), request, plan.mass, plan.items, child)
        for part, child in zip(parts, children, strict=True)
    ]
