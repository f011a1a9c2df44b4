"""How large blocks are."""

from __future__ import annotations

import math

from rayrl.experience.columns import required_specs
from rayrl.experience.replay.options import ReplayOptions
from rayrl.storage.spaces import Spaces

_MOST_ROWS = 16_384
_FEWEST_ROWS = 256
_MOST_BYTES = 32 << 20
_BLOCKS_OF_A_PARTITION = 16


def block_rows(spaces: Spaces, options: ReplayOptions) -> int:
    """Rows of a block, a power of two: 16,384 or so, fewer where steps are large or little is held.

    A block whose oldest rows are evicted is freed when the last one is, so that a partition takes up to a
    block more than it holds: hence a sixteenth of the largest partition at most.
    """
    specs = required_specs(spaces).columns.values()
    row_bytes = sum(spec.dtype.itemsize * math.prod(spec.shape) for spec in specs if spec.kind == "array")
    rows = min(_MOST_ROWS, _MOST_BYTES // max(row_bytes, 1))
    steps = [one.capacity for one in options.partitions.values() if one.unit == "steps"]
    if steps and len(steps) == len(options.partitions) and all(capacity is not None for capacity in steps):
        rows = min(
            rows, max(capacity for capacity in steps if capacity is not None) // _BLOCKS_OF_A_PARTITION
        )
    return 1 << max(rows, _FEWEST_ROWS).bit_length() - 1
