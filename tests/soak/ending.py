"""The server's end, while bodies arrive, streams run and connections are idle."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress

from tests.live.harness import LiveServer
from tests.soak.client import CHAT, ECHO
from tests.soak.wire import Connection, connected, request

__all__ = ["ENDING", "ended"]

ENDING = "ending"
"""ID of the requests that the end meets."""
EACH = 10
"""Connections of each kind."""
PAUSE = 0.005
"""Seconds between two pieces of a body: some arrive in the moment in which the grace period ends."""


async def ended(server: LiveServer, port: int) -> list[str]:
    """Send SIGTERM and wait for the server's end. Returns what was wrong."""
    async with AsyncExitStack() as held:
        opened = [await held.enter_async_context(connected(port)) for _ in range(3 * EACH)]
        bodies, streams = opened[:EACH], opened[EACH : 2 * EACH]
        for connection in bodies:
            await connection.send(request("POST", CHAT, ENDING, b"", length=100_000))
        for connection in streams:
            await connection.send(_long_stream())
            await connection.head()
        dribbling = asyncio.create_task(_dribble(bodies))
        reading = [asyncio.create_task(connection.rest()) for connection in (*bodies, *streams)]
        found = list[str]()
        status = await asyncio.to_thread(server.stop)
        if status:
            found.append(f"exit status {status} after SIGTERM")
        dribbling.cancel()
        answers = await asyncio.gather(*reading)
        for answer in answers[:EACH]:
            if not answer.startswith(b"HTTP/1.1 503 "):
                found.append(f"a body that the end met: {answer[:300]!r}")
        for answer in answers[EACH:]:
            if not answer.rstrip().endswith(b"0") or b"[DONE]" not in answer or b"model_not_ready" not in answer:
                found.append(f"a stream that the end met: {answer[-300:]!r}")
    return found


def _long_stream() -> bytes:
    """A stream that takes longer than the grace period."""
    message = {"role": "user", "content": "word " * 2_000}
    slowly = {"echo_delay": 0.05}
    body = {"model": ECHO, "messages": [message], "max_tokens": 2_000, "stream": True, "chat_template_kwargs": slowly}
    return request("POST", CHAT, ENDING, json.dumps(body).encode())


async def _dribble(connections: list[Connection]) -> None:
    while True:
        for connection in connections:
            with suppress(OSError):
                await connection.send(b" ")
        await asyncio.sleep(PAUSE)
