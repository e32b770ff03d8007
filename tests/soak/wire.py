"""HTTP over a raw socket: a client that can stop, half-close, dribble, pipeline and read slowly."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs

__all__ = ["Broken", "Connection", "Reply", "connected", "request"]

SMALL_BUFFER = 4_096
"""Bytes that the system keeps for a client that reads slowly."""


class Broken(Exception):
    """The server closed the connection before the response was complete, or sent something else."""


@attrs.frozen(kw_only=True)
class Reply:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str | None:
        return self.headers.get("x-request-id")

    @property
    def streamed(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def json(self) -> Any:
        """The body.

        Raises:
            Broken: it is not JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise Broken(f"not JSON: {self.body[:200]!r}") from None


def request(
    method: str, path: str, id: str, body: bytes | None = None, *lines: str, length: int | None = None
) -> bytes:
    """A request with an ID. `length` replaces the length of the body."""
    fixed = [f"{method} {path} HTTP/1.1", "Host: localhost", f"X-Request-ID: {id}"]
    if body is not None:
        fixed += [f"Content-Length: {len(body) if length is None else length}"]
        fixed += [] if any(line.startswith("Content-Type") for line in lines) else ["Content-Type: application/json"]
    return "\r\n".join([*fixed, *lines, "\r\n"]).encode() + (body or b"")


class Connection:
    """A connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send. A server that refuses early may have closed its side: its response is there all the same."""
        if self._writer.is_closing():
            return
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return

    async def dribble(self, data: bytes, pieces: int, pause: float) -> None:
        """Send in pieces."""
        size = -(-len(data) // pieces)
        for begin in range(0, len(data), size):
            await self.send(data[begin : begin + size])
            await asyncio.sleep(pause)

    def half_close(self) -> None:
        """Close the sending side."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Close with a reset: what was not read is gone."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next response.

        Raises:
            Broken: there is none.
        """
        try:
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Broken(f"no response: {error!r}") from None
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return int(lines[0].split(" ", 2)[1]), headers

    async def pieces(self, headers: dict[str, str], pause: float = 0.0) -> AsyncIterator[bytes]:
        """The pieces of the body as they arrive; `pause`: seconds before each.

        Raises:
            Broken: the connection ends before the body does.
        """
        try:
            if headers.get("transfer-encoding") == "chunked":
                while size := int(await self._reader.readuntil(b"\r\n"), 16):
                    await asyncio.sleep(pause)
                    yield (await self._reader.readexactly(size + 2))[:-2]
                await self._reader.readexactly(2)
            elif left := int(headers.get("content-length", 0)):
                yield await self._reader.readexactly(left)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise Broken(f"incomplete body: {error!r}") from None

    async def reply(self, pause: float = 0.0) -> Reply:
        """The next response. Raises: Broken."""
        status, headers = await self.head()
        body = b"".join([piece async for piece in self.pieces(headers, pause)])
        return Reply(status=status, headers=headers, body=body)

    async def rest(self) -> bytes:
        """All bytes until the server closes the connection, or resets it."""
        data = b""
        try:
            while piece := await self._reader.read(65_536):
                data += piece
        except ConnectionError:
            return data
        return data

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connected(port: int, *, small: bool = False) -> AsyncIterator[Connection]:
    """A connection, closed at the end. `small`: the system keeps little of what the client does not read."""
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=SMALL_BUFFER if small else 65_536)
    except BaseException:
        sock.close()
        raise
    connection = Connection(reader, writer)
    try:
        yield connection
    finally:
        connection.close()
