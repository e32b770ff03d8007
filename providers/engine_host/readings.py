"""What metrics and diagnostics read from an engine, and its sum over several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import otel
from providers.engine_host.host import EngineHost
from providers.engine_host.memory_usage import resident_bytes

__all__ = ["added", "read_engine"]


def read_engine(host: EngineHost) -> otel.ReplicaReading:
    """The engine now; called from any thread."""
    memory = host.memory
    kinds = {} if memory is None else {"active": memory.active, "peak": memory.peak, "cache": memory.cache}
    resident = resident_bytes(host.pid, children=host.ranks > 1)
    return otel.ReplicaReading(
        restarts=host.restarts,
        memory=kinds if resident is None else {"rss": resident, **kinds},
        prefix_cache=None if memory is None else memory.prefix_cache,
        speculated={} if memory is None else memory.speculated,
    )


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum by kind, in the order in which the kinds come."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
