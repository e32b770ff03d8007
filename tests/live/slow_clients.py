"""Connections that hold a server up, and the time of a normal request beside them."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs

from tests.live.client import PATIENCE, chat

__all__ = ["Clients", "Fault", "dribbling", "head", "idle", "raise_descriptors", "silent"]

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
BODY = json.dumps(chat("Hello")).encode()
TOGETHER = 100
"""Connections that are opened at the same time."""


def head(method: str, path: str, length: int = 0, *lines: str) -> bytes:
    fixed = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*fixed, f"Content-Length: {length}", *lines, "\r\n"]).encode()


def raise_descriptors(wanted: int) -> None:
    """Let this process open as many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@attrs.frozen
class Fault:
    """What a connection sends when it is new, and then every second."""

    first: bytes = b""
    then: bytes = b""
    answered: bool = False
    """Whether the connection then waits for its next request."""


dribbling = Fault(head("POST", "/v1/chat/completions", 100_000), b" ")
silent = Fault()
idle = Fault(head("GET", "/health"), answered=True)


class Clients:
    """Clients of the server at this URL."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._address = (address.hostname, address.port)

    async def exchange(self, request: bytes) -> tuple[int, float]:
        """Send a request on a connection of its own. Returns the status and the seconds that it took."""
        begun = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            reader, writer = await self._connect()
            writer.write(request)
            answer = await reader.read()
            writer.close()
        return int(answer.split(maxsplit=2)[1]), time.perf_counter() - begun

    async def normal(self) -> float:
        """Seconds of a short chat."""
        status, seconds = await self.exchange(
            head("POST", "/v1/chat/completions", len(BODY), "Connection: close") + BODY
        )
        assert status == 200
        return seconds

    async def probe(self) -> float:
        """Seconds of a health request."""
        status, seconds = await self.exchange(head("GET", "/health", 0, "Connection: close"))
        assert status == 200
        return seconds

    @asynccontextmanager
    async def holding(self, fault: Fault, count: int) -> AsyncIterator[list[Connection]]:
        """Open this number of connections, and keep them while the block runs."""
        held: list[Connection] = []
        async with asyncio.TaskGroup() as tasks:
            for begin in range(0, count, TOGETHER):
                opened = [self._connect() for _ in range(min(TOGETHER, count - begin))]
                held += await asyncio.gather(*opened)
            for _, writer in held:
                writer.write(fault.first)
            if fault.answered:
                await asyncio.gather(*(reader.readuntil(b"}") for reader, _ in held))
            dribble = tasks.create_task(_every_second(held, fault.then)) if fault.then else None
            try:
                yield held
            finally:
                if dribble is not None:
                    dribble.cancel()
                for _, writer in held:
                    writer.close()

    async def _connect(self) -> Connection:
        return await asyncio.open_connection(*self._address)


async def _every_second(held: list[Connection], data: bytes) -> None:
    while True:
        await asyncio.sleep(1)
        for _, writer in held:
            if not writer.is_closing():
                writer.write(data)
