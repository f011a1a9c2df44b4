"""ReplayShard: a shard of a replay buffer in a process of its own.

| call              | consumes                               | waits for          | unblocked by          |
|-------------------|----------------------------------------|--------------------|-----------------------|
| add               | a batch, in the object store or inline | the batch          | the object store      |
| survey, offer     | a request, the union's census          | calls before it    | their end             |
| draw, draw_alone  | a request, counts, generators          | calls before it    | their end             |
| update_priorities | row ids and priorities, as references  | the learner        | its update, its death |
| resume            | the first ticket without an answer     | calls before it    | their end             |

Calls are answered one at a time, in the order in which the one caller made them. What is drawn is a return
value, so the caller owns it, and it outlives the shard.
"""

from __future__ import annotations

from typing import Any

import ray

from rayrl.experience.replay.sharded.options import ShardOptions
from rayrl.experience.replay.sharded.server import ShardServer, ShardSetup

_INLINE_BYTES = 8192
"""Larger return values stay in the object store of the shard's node; Ray's own limit, 100 kB, would send
samples of some hundred steps through the caller's process."""

ReplayShard = ray.remote(ShardServer)


def start_shard(setup: ShardSetup, options: ShardOptions) -> Any:
    """Starts a shard, which dies with the process that started it."""
    return ReplayShard.options(
        num_cpus=options.cpus_per_shard,
        max_restarts=-1 if options.durability == "spool" else 0,
        runtime_env={"env_vars": {"RAY_max_direct_call_object_size": str(_INLINE_BYTES)}},
    ).remote(setup)
