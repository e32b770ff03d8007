"""Replicas whose engines are in memory, and requests that end when the test wants it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from providers.chat.provider import EngineChatProvider
from providers.chat.types import Finished, Usage
from providers.engine_host.frames import Generate
from providers.engine_host.host import EngineHost
from providers.replicas.replicas import Replicas
from providers.spec import ModelSpec
from tests.unit.providers.chat.chats import ask
from tests.unit.providers.engine_host.clock import quiet
from tests.unit.providers.engine_host.in_memory import POLICY, Engine, Engines

__all__ = ["asked", "finish", "model", "requests_of", "served", "states"]


def model(**fields: object) -> ModelSpec:
    return ModelSpec(**({"name": "fake", "path": "weights", "replicas": 2, "max_concurrency": 1} | fields))


async def served(engines: Engines, *, ready: bool = True, **fields: object) -> EngineChatProvider:
    """A provider whose engines are ready, or load."""

    def make(spec: ModelSpec, number: int) -> EngineHost:
        parts = {"watchdog": engines.watchdog, "start": engines.start, "restart": POLICY}
        return EngineHost(spec, command=("run", str(number)), replica=number, **parts)

    spec = model(**fields)
    provider = EngineChatProvider(spec, host=Replicas(spec, make=make))
    await provider.start()
    await quiet()
    for engine in engines.started if ready else ():
        engine.ready()
    await quiet()
    return provider


def states(provider: EngineChatProvider) -> list[str]:
    return [state.status for state in provider.card.replicas]


def requests_of(engine: Engine) -> list[str]:
    """The ids of the requests that it was sent."""
    return [command.request.id.partition("#")[0] for command in engine.sent if isinstance(command, Generate)]


async def asked(provider: EngineChatProvider, *names: str) -> list[asyncio.Task[None]]:
    """Begin requests of these ids."""

    async def consume(name: str) -> None:
        async with aclosing(provider.generate(ask(name, id=name))) as events:
            async for _ in events:
                pass

    tasks = [asyncio.create_task(consume(name)) for name in names]
    await quiet()
    return tasks


async def finish(engine: Engine, name: str) -> None:
    """End an answer."""
    (key,) = (each.request.id for each in engine.sent if isinstance(each, Generate) and each.request.id[0] == name)
    engine.events((key, Finished("stop", Usage(1, 1), 0.1, 0.1)))
    await quiet()
