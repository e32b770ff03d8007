"""Times of a sum over all ranks: `python -P -m providers.engines.group.link_bench BACKEND`, started by `launch`.

Rank 0 prints JSON lines: the number of ranks once they are connected, then for each size its bytes, the median time in
seconds and the number of sums.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from providers.engines.process import platform

__all__ = ["SIZES", "main"]

SIZES = (4, 64 << 20)
"""Bytes per rank: a sum that costs the way only, and one that costs the bandwidth."""
_SECONDS = 1.0
"""Roughly, per size."""
_FEWEST, _MOST = 3, 200


def main() -> None:
    backend = sys.argv[1]
    platform.prepare()
    import mlx.core as mx

    group = mx.distributed.init(strict=True, backend="jaccl" if backend.startswith("jaccl") else backend)
    _seconds(mx, 1)
    _report(group, {"ranks": group.size()})
    for size in SIZES:
        count = size // 4
        first = _seconds(mx, count)
        times = [_seconds(mx, count) for _ in range(_agreed(mx, group, first))]
        _report(group, {"bytes": size, "seconds": statistics.median(times), "sums": len(times)})


def _seconds(mx: Any, count: int) -> float:
    array = mx.ones((count,))
    mx.eval(array)
    begun = time.perf_counter()
    mx.eval(mx.distributed.all_sum(array))
    return time.perf_counter() - begun


def _agreed(mx: Any, group: Any, seconds: float) -> int:
    """How many sums to time: rank 0 decides, since all ranks must take part in the same number."""
    wanted = min(max(_FEWEST, int(_SECONDS / seconds)), _MOST) if group.rank() == 0 else 0
    return int(mx.distributed.all_sum(mx.array(wanted)).item())


def _report(group: Any, fields: dict[str, float]) -> None:
    if group.rank() == 0:
        print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
