"""Estimates of memory beside the footprints after loading, of the embedded models.

    python -m tests.measurements.measure_estimates

Prints the table of docs/memory.md. Ends with 1 if an estimate is off by more than a quarter.
"""

from __future__ import annotations

import asyncio
import sys

from providers.capabilities import MODALITIES
from providers.engine_host.host import EngineHost
from providers.memory.estimate import estimate
from providers.memory.footprint import footprint
from providers.spec import Dtype, ModelSpec
from providers.weights import resolve

MARGIN = 0.25
PRECISIONS: tuple[Dtype, ...] = ("float32", "float16")
SETTLED_SECONDS = 2.5
"""Time after loading in which the engine frees what it no longer needs, and reports its memory."""


async def measured(spec: ModelSpec) -> int:
    """The footprint of a model that has been loaded, in bytes."""
    host = EngineHost(spec)
    host.start()
    try:
        await host.wait_ready()
        await asyncio.sleep(SETTLED_SECONDS)
        return footprint(host.pid, host.memory)
    finally:
        await host.stop()


async def main() -> int:
    off = []
    print(f"{'model':<40}{'precision':<10}{'estimate':>9}{'footprint':>10}  MB")
    for row in MODALITIES.values():
        if row.weights is None:
            continue
        path = f"embedded:{row.weights}"
        resolve(path)
        for dtype in PRECISIONS if row.model_type != "tts" else PRECISIONS[:1]:
            spec = ModelSpec(name=row.weights, path=path, model_type=row.model_type, dtype=dtype)
            expected = estimate(spec)
            assert expected is not None
            found = await measured(spec)
            print(f"{path:<40}{dtype:<10}{expected / 1e6:>9.0f}{found / 1e6:>10.0f}", flush=True)
            if abs(expected - found) > MARGIN * found:
                off.append(f"{path} {dtype}")
    if off:
        print(f"off by more than {MARGIN:.0%}: {', '.join(off)}", file=sys.stderr)
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
