"""Chat providers with several fake engines, in processes of their own or in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
import pytest

from providers.chat.provider import EngineChatProvider
from providers.engine_host.host import EngineHost
from providers.replicas.replicas import Replicas
from providers.spec import ModelSpec
from tests.unit.providers.chat.chats import FAKE, PATIENCE, QUICK, alive, starts
from tests.unit.providers.engine_host.clock import ClockLoop
from tests.unit.providers.engine_host.in_memory import Engines


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Engines in memory run on a clock that the test does not wait for."""
    in_memory = item.path.match("test_places.py") or item.path.match("test_rolling.py")
    return {"clock": ClockLoop} if in_memory else {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Engines in memory. The hosts read the loop's clock, which waits for no thread."""

    async def inline(call: Callable[..., object], *arguments: object) -> object:
        return call(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", inline)
    monkeypatch.setattr("providers.engine_host.host.monotonic", asyncio.get_running_loop().time)
    return Engines()


def host(spec: ModelSpec, number: int) -> EngineHost:
    """An engine whose mode is of its own, where the path has a list of them."""
    how = json.loads(spec.path)
    mode = how["mode"][number] if isinstance(how["mode"], list) else how["mode"]
    path = json.dumps({"mode": mode, "starts": f"{how['starts']}.{number}" if how.get("apart") else how["starts"]})
    return EngineHost(attrs.evolve(spec.of_replica, path=path), command=FAKE, restart=QUICK, grace=0.5, replica=number)


def make(spec: ModelSpec) -> EngineChatProvider:
    return EngineChatProvider(spec, host=Replicas(spec, make=host))


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., ModelSpec]:
    def model(name: str = "a", mode: object = "ready", *, apart: bool = False, **fields: object) -> ModelSpec:
        path = json.dumps({"mode": mode, "starts": str(tmp_path / name), "apart": apart})
        return ModelSpec(**({"name": name, "path": path, "replicas": 2, "watchdog_timeout": 0.0} | fields))

    return model


@pytest.fixture
async def serve(model: Callable[..., ModelSpec]) -> AsyncIterator[Callable[..., EngineChatProvider]]:
    """Start providers that are stopped, and must have left no process, when the test ends."""
    async with AsyncExitStack() as stack:

        async def leave_nothing(provider: EngineChatProvider) -> None:
            await asyncio.wait_for(provider.stop(), PATIENCE)
            assert not [pid for pid in starts(provider) if alive(pid)]

        async def start(*args: object, **fields: object) -> EngineChatProvider:
            provider = make(model(*args, **fields))
            stack.push_async_callback(leave_nothing, provider)
            await provider.start()
            return provider

        yield start
