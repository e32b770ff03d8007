"""Chat providers with a fake engine in another process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from providers.chat.provider import EngineChatProvider
from providers.engine_host.host import EngineHost
from providers.engine_host.restart import RestartPolicy
from providers.engine_host.watchdog import Watchdog
from providers.spec import ModelSpec
from tests.unit.providers.chat.chats import FAKE, PATIENCE, QUICK, alive, starts


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., EngineChatProvider]]:
    """Start providers that are stopped, and must have left no process, when the test ends."""
    async with AsyncExitStack() as stack:

        async def leave_nothing(provider: EngineChatProvider) -> None:
            await asyncio.wait_for(provider.stop(), PATIENCE)
            assert not [pid for pid in starts(provider) if alive(pid)]

        async def start(
            mode: str = "ready",
            *,
            restart: RestartPolicy = QUICK,
            grace: float = 0.5,
            watchdog: Callable[[float], Watchdog] = Watchdog,
            **spec: object,
        ) -> EngineChatProvider:
            path = json.dumps({"mode": mode, "starts": str(tmp_path / "starts")})
            model = ModelSpec(name="fake", path=path, **spec)
            host = EngineHost(model, command=FAKE, restart=restart, grace=grace, watchdog=watchdog)
            provider = EngineChatProvider(model, host=host)
            stack.push_async_callback(leave_nothing, provider)
            await provider.start()
            return provider

        yield start
