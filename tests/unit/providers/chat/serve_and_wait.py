"""A server process with two fake engines: prints their process ids when both are ready, and goes on."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4]))

import uvloop

from providers.engine_host.host import EngineHost
from providers.spec import ModelSpec

FAKE = (sys.executable, str(Path(__file__).with_name("fake_engine.py")))


async def main() -> None:
    hosts = [EngineHost(ModelSpec(name=name, path=sys.argv[1]), command=FAKE) for name in ("a", "b")]
    for host in hosts:
        host.start()
    for host in hosts:
        await host.wait_ready()
    print("engines", *(host.pid for host in hosts), flush=True)
    await asyncio.Event().wait()


uvloop.run(main())
