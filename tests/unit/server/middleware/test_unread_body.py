import asyncio
import weakref
from typing import Any

import pytest

from server.drain import Drain
from server.middleware import unread_body
from server.middleware.unread_body import UnreadBodyMiddleware
from tests.unit.server.harness import WAIT

PIECE = {"type": "http.request", "body": b"x", "more_body": True}
LAST = {"type": "http.request", "body": b"x", "more_body": False}
GONE = {"type": "http.disconnect"}
LENGTH = (b"content-length", b"3")


async def run(
    *messages: dict[str, Any],
    headers: tuple[tuple[bytes, bytes], ...] = (LENGTH,),
    reads: int = 0,
    drain: Drain | None = None,
) -> int:
    """Number of messages received when the response is complete after `reads` of them."""
    waiting, received = list(messages), 0

    async def receive() -> Any:
        nonlocal received
        if not waiting:
            await asyncio.Event().wait()
        received += 1
        return waiting.pop(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(reads):
            await receive()
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: Any) -> None:
        assert received == reads, "the response waits for nothing"

    middleware = UnreadBodyMiddleware(app, drain=drain or Drain(60.0, lambda: None))
    await middleware({"type": "http", "headers": headers}, receive, send)  # type: ignore[typeddict-item]
    return received


@pytest.mark.parametrize("reads", [0, 1, 3])
async def test_the_rest_of_a_body_is_read_after_the_response(reads: int) -> None:
    assert await run(PIECE, PIECE, LAST, GONE, reads=reads) == 3


async def test_a_chunked_body_is_read_too() -> None:
    assert await run(PIECE, LAST, headers=((b"transfer-encoding", b"chunked"),)) == 2


async def test_reading_ends_when_the_client_leaves() -> None:
    assert await run(PIECE, GONE, PIECE) == 2


@pytest.mark.parametrize("headers", [(), ((b"content-length", b"0"),), (LENGTH, (b"expect", b"100-continue"))])
async def test_nothing_is_read_where_no_body_follows(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    assert await run(PIECE, headers=headers) == 0


async def test_a_server_that_ends_waits_for_no_rest() -> None:
    before, meanwhile = (Drain(60.0, lambda: None) for _ in range(2))
    before.expire()
    asyncio.get_running_loop().call_soon(meanwhile.expire)

    async with asyncio.timeout(WAIT):
        assert await run(*[PIECE] * 5, drain=before) == 0
        assert await run(PIECE, drain=meanwhile) == 1


async def test_a_cancellation_that_is_lost_while_a_piece_arrives_prolongs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unread_body, "_TOTAL", 0.02)
    received = lost = 0

    async def receive() -> Any:
        nonlocal received, lost
        received += 1
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            lost += 1
            if lost > 1:
                raise
        return PIECE

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(_: Any) -> None: ...

    middleware = UnreadBodyMiddleware(app, drain=Drain(60.0, lambda: None))
    async with asyncio.timeout(WAIT):
        await middleware({"type": "http", "headers": (LENGTH,)}, receive, send)  # type: ignore[typeddict-item]
    assert received < 5


async def test_a_client_that_stops_sending_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_body, "_IDLE", 0.01)

    async with asyncio.timeout(WAIT):
        assert await run(PIECE) == 1


async def test_a_client_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_body, "_TOTAL", 0.01)

    async with asyncio.timeout(WAIT):
        assert await run(PIECE) == 1


async def test_a_request_that_is_kept_does_not_keep_its_connection() -> None:
    class Connection:
        async def receive(self) -> Any:
            return GONE

        async def send(self, message: Any) -> None: ...

    kept: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kept.append((receive, send))

    connection = Connection()
    reference = weakref.ref(connection)
    scope: Any = {"type": "http", "headers": (LENGTH,)}
    await UnreadBodyMiddleware(app, drain=Drain(60.0, lambda: None))(scope, connection.receive, connection.send)
    del connection

    assert reference() is None
    assert await kept[0][0]() == GONE
    await kept[0][1](LAST)
