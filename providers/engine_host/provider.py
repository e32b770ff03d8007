"""The part shared by all providers whose model lives in an engine process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import attrs
import msgspec

import otel
from providers.chat.types import SamplingParams
from providers.engine_host.event_stream import Mailbox
from providers.engine_host.host import EngineHost
from providers.engine_host.memory_usage import resident_bytes
from providers.errors import ModelNotReady, ServiceError
from providers.events import Event, Request
from providers.protocols import ModelStatus
from providers.queued import QueuedProvider
from providers.spec import ModelSpec

__all__ = ["EngineProvider"]

R = TypeVar("R", bound=Request)
E = TypeVar("E", bound=Event)


class EngineProvider(QueuedProvider[R, E]):
    """A provider on an engine process, which the server's start or the first request starts."""

    def __init__(self, spec: ModelSpec, *, host: EngineHost | None = None) -> None:
        super().__init__(spec)
        self.host = host or EngineHost(spec)

    @property
    def _status(self) -> ModelStatus:
        return self.host.status

    @property
    def _sampling(self) -> SamplingParams:
        known = self.host.info.details.get("sampling", {}) if self.host.info else {}
        return msgspec.structs.replace(self._spec.sampling, **known)

    @property
    def _context_length(self) -> int | None:
        info = self.host.info
        if info is None or info.context_length is None:
            return None
        return min(self._spec.context_length, info.context_length)

    @property
    def _detail(self) -> str | None:
        return self.host.detail

    @property
    def _loads_on_use(self) -> bool:
        """Whether requests are accepted although the engine is not ready: they load it and wait."""
        return self._spec.lazy and self.host.status in ("unloaded", "loading", "failed")

    async def start(self) -> None:
        if not self._spec.lazy:
            self.host.start()

    async def wait_ready(self) -> None:
        if not self._loads_on_use:
            await self.host.wait_ready()

    async def stop(self) -> None:
        self.begin_drain()
        await self.host.stop()

    async def ready(self) -> None:
        """Load the engine if necessary, and return when it is ready.

        Raises:
            ModelNotReady: it cannot be loaded, or not within `spec.queue_timeout`.
        """
        if not self._loads_on_use:
            return
        try:
            async with asyncio.timeout(self._spec.queue_timeout):
                await self.host.start_again()
                self.host.start()
                await self.host.wait_ready()
        except TimeoutError:
            raise ModelNotReady(f"{self._spec.name} is still loading: {self.host.detail}", retry_after=5.0) from None

    def reading(self) -> otel.ModelReading:
        memory = self.host.memory
        kinds = {} if memory is None else {"active": memory.active, "peak": memory.peak, "cache": memory.cache}
        resident = resident_bytes(self.host.pid)
        return attrs.evolve(
            super().reading(),
            restarts=self.host.restarts,
            memory=kinds if resident is None else {"rss": resident, **kinds},
            prefix_cache=None if memory is None else memory.prefix_cache,
            speculated={} if memory is None else memory.speculated,
        )

    def _refusal(self) -> ServiceError | None:
        return None if self._loads_on_use else self.host.refusal()

    async def _load(self, request: R) -> None:
        if self._loads_on_use:
            with otel.start_load(model=self._spec.name, request_id=request.id):
                await self.ready()

    def _mailbox(self, request: R) -> Callable[[Callable[[bool], None]], Mailbox[E]]:
        """The class that collects the request's events until they are read."""
        return Mailbox

    async def _events(self, request: R) -> AsyncGenerator[E, None]:
        message: Any = request  # one of `EngineRequest`
        mailbox = self.host.open(message, self._mailbox(request))
        try:
            async for event in mailbox:
                yield event
        finally:
            # This frees the slot too: the next request's command follows the cancellation on the socket.
            mailbox.close()
