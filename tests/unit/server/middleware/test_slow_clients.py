"""Bounds for clients that send or read slowly, on a client that a test controls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from litestar.exceptions import HTTPException

from providers.errors import ModelNotReady, QueueFull
from server.drain import Drain
from server.errors import ClientDisconnected
from server.middleware.slow_clients import PIECE, SMALL, Limits, RequestTimeout, SlowClientsMiddleware
from tests.unit.server.harness import WAIT

App = Callable[[Any, Any, Any], Awaitable[None]]
GONE = {"type": "http.disconnect"}
BIG = SMALL + 1


def piece(size: int = 1, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": bytes(size), "more_body": more}


def limits(**changes: Any) -> Limits:
    values = {"body_timeout": 5.0, "body_min_rate": 1_000, "max_body_total": 10 * BIG, "write_timeout": 5.0, **changes}
    return Limits(**values)


@attrs.define
class Client:
    """Sends `pieces` with a pause before each, then stays silent."""

    pieces: list[dict[str, Any]]
    pause: float = 0.0
    sent: list[Any] = attrs.field(factory=list)
    reads: bool = True

    async def receive(self) -> Any:
        if not self.pieces:
            await asyncio.Event().wait()
        await asyncio.sleep(self.pause)
        return self.pieces.pop(0)

    async def send(self, message: Any) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        self.sent.append(message)


async def read_body(_: Any, receive: Any, __: Any) -> None:
    while (await receive()).get("more_body"):
        pass


class Server:
    def __init__(self, app: App = read_body, grace_period: float = 5, **changes: Any) -> None:
        self.drain = Drain(grace_period, lambda: None)
        self._middleware = SlowClientsMiddleware(app, limits=limits(**changes), drain=self.drain)

    async def serve(self, client: Client, length: int | None = None) -> None:
        headers = [] if length is None else [(b"content-length", str(length).encode())]
        async with asyncio.timeout(WAIT):
            await self._middleware({"type": "http", "headers": headers}, client.receive, client.send)  # type: ignore[typeddict-item]


async def test_a_body_that_stops_is_refused_with_what_arrived() -> None:
    with pytest.raises(RequestTimeout, match="3 bytes in 0 seconds") as refused:
        await Server(body_timeout=0.05).serve(Client([piece(3)]))

    assert isinstance(refused.value, HTTPException)
    assert refused.value.status_code == 408


async def test_a_body_that_dribbles_is_refused() -> None:
    client = Client([piece() for _ in range(100)], pause=0.02)

    with pytest.raises(RequestTimeout):
        await Server(body_timeout=0.1).serve(client)
    assert len(client.pieces) > 80


async def test_a_slow_body_has_the_time_that_its_size_takes_at_the_minimum_rate() -> None:
    client = Client([piece(100) for _ in range(10)] + [piece(more=False)], pause=0.04)

    await Server(body_timeout=0.3, body_min_rate=200).serve(client)
    assert not client.pieces


async def test_time_in_which_the_server_does_not_read_does_not_count() -> None:
    async def app(_: Any, receive: Any, __: Any) -> None:
        for _ in range(3):
            await receive()
            await asyncio.sleep(0.1)

    await Server(app, body_timeout=0.08).serve(Client([piece(), piece(), piece(more=False)]))


async def test_a_wait_for_the_clients_end_is_not_limited() -> None:
    async def app(_: Any, receive: Any, __: Any) -> None:
        await receive()
        assert await receive() == GONE

    client = Client([piece(more=False)])
    serving = asyncio.create_task(Server(app, body_timeout=0.01).serve(client))
    await asyncio.sleep(0.05)
    assert not serving.done()
    serving.cancel()


async def test_a_server_that_ends_does_not_wait_for_a_body() -> None:
    server = Server(grace_period=0.02)
    server.drain.begin()

    with pytest.raises(ModelNotReady):
        await server.serve(Client([piece()]))


async def test_a_cancellation_that_is_lost_while_a_piece_arrives_ends_the_next_wait() -> None:
    class Losing(Client):
        async def receive(self) -> Any:
            try:
                return await super().receive()
            except asyncio.CancelledError:
                if not self.pieces:
                    raise
                return self.pieces.pop(0)

    server = Server(grace_period=0.02)
    server.drain.begin()

    with pytest.raises(ModelNotReady):
        await server.serve(Losing([piece()], pause=1))


async def test_bodies_in_flight_are_bounded_together() -> None:
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(scope, receive, send)
        await release.wait()

    server = Server(app, max_body_total=2 * BIG)
    held = [asyncio.create_task(server.serve(Client([piece(BIG, more=False)]), BIG)) for _ in range(2)]
    await asyncio.sleep(0.02)
    refused = Client([piece(BIG, more=False)])
    with pytest.raises(QueueFull, match="--max-body-total"):
        await server.serve(refused, BIG)
    assert refused.pieces, "it was refused before it was read"
    chunked = Client([piece(SMALL), piece(SMALL, more=False)])
    with pytest.raises(QueueFull):
        await server.serve(chunked)

    small = asyncio.create_task(server.serve(Client([piece(SMALL, more=False)]), SMALL))
    release.set()
    await asyncio.gather(*held, small)
    await server.serve(Client([piece(BIG, more=False)]), BIG)


async def test_one_body_always_has_room() -> None:
    await Server(max_body_total=1).serve(Client([piece(BIG), piece(BIG, more=False)]), 2 * BIG)


@pytest.mark.parametrize("message", [{"type": "http.response.body", "body": b"x", "more_body": True}])
async def test_a_client_that_takes_nothing_is_gone(message: Any) -> None:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send(message)

    with pytest.raises(ClientDisconnected):
        await Server(app, write_timeout=0.01).serve(Client([], reads=False))


async def test_a_long_piece_of_a_stream_is_sent_in_parts() -> None:
    body = bytes(range(256)) * 1_000

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    client = Client([])
    await Server(app).serve(client)

    *parts, whole = client.sent
    assert b"".join(part["body"] for part in parts) == body
    assert all(len(part["body"]) <= PIECE and part["more_body"] for part in parts)
    assert whole == {"type": "http.response.body", "body": body, "more_body": False}
