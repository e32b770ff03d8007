"""Clients that do not wait for their answers, and requests that have none: bodies, paths and limits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from tests.soak.client import BODY_LIMIT, CHAT, ECHO, WRITE_SECONDS, Client, settle
from tests.soak.wire import Connection, Reply, connected, request

__all__ = ["FAULTY"]

GONE = frozenset({200, 499, 503, None})
"""What the log has of a request whose client left."""
UNREAD_WORDS = 30_000
"""Words whose events, 6 MB, are more than the system keeps for a client that does not read."""


async def cancelled(client: Client) -> None:
    """A client that leaves in the middle of a long stream."""
    sent = client.new("cancelled stream", client.rng.choice(("tiny", ECHO)))
    body = client.chat(sent, stream=True)
    if sent.model == ECHO:
        body |= {"max_tokens": 5_000, "chat_template_kwargs": {"echo_delay": 0.05}}
        body["messages"][0]["content"] += " word" * 2_000
    else:
        body |= {"max_tokens": 5_000, "logit_bias": {"0": -100}}
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, body))
        status, headers = await connection.head()
        if status != 200:
            pieces = [piece async for piece in connection.pieces(headers)]
            settle(sent, Reply(status=status, headers=headers, body=b"".join(pieces)), 200)
            return
        wanted = client.rng.randint(1, 4)
        async for piece in connection.pieces(headers):
            wanted -= 1
            if b'"error"' in piece:
                sent.code = json.loads(piece.partition(b'data: {"error"')[2].join((b'{"error"', b"")).split(b"\n")[0])[
                    "error"
                ]["code"]
            if wanted <= 0 or sent.code:
                break
        leave(client, connection)
    sent.ended, sent.status, sent.how = time.monotonic(), 200, "failed" if sent.code else "cancelled"


def error_code(piece: bytes) -> str:
    """The code of the event of an error."""
    line = next(line for line in piece.split(b"\n") if line.startswith(b'data: {"error"'))
    code: str = json.loads(line.removeprefix(b"data: "))["error"]["code"]
    return code


def leave(client: Client, connection: Connection) -> None:
    """Reset the connection, or leave it to be closed."""
    if client.rng.random() < 0.5:
        connection.abort()


async def left_early(client: Client) -> None:
    """A client that leaves after a whole request, before it has seen anything of the response."""
    sent = client.new("left early", client.chatting(), logged=GONE, maybe=True)
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, client.chat(sent, stream=client.rng.random() < 0.5)))
        await asyncio.sleep(client.rng.choice((0, 0.005, 0.05)))
        leave(client, connection)
    sent.ended, sent.how = time.monotonic(), "cancelled"


async def half_closed(client: Client) -> None:
    """A client that closes its sending side after its request: docs/reliability.md says that it gets no response."""
    sent = client.new("half-closed", ECHO, logged=GONE, maybe=True)
    body = client.chat(sent, chat_template_kwargs={"echo_delay": 0.2})
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, body))
        connection.half_close()
        if b'"finish_reason"' in await connection.rest():
            sent.problem = "an answer for a client that was taken for gone"
    sent.ended, sent.how = time.monotonic(), "cancelled"


async def truncated(client: Client) -> None:
    """A body that ends before its announced length."""
    sent = client.new("truncated body", client.chatting(), logged=frozenset({499}))
    body = json.dumps(client.chat(sent)).encode()
    data = request("POST", CHAT, sent.id, body[: client.rng.randint(0, len(body) - 1)], length=len(body))
    async with connected(client.port) as connection:
        await connection.send(data)
        connection.half_close()
        answer = await connection.rest()
        if not answer.startswith(b"HTTP/1.1 499 "):
            sent.problem = f"not a 499: {answer[:200]!r}"
    sent.ended, sent.status, sent.how = time.monotonic(), 499, "refused"


async def malformed(client: Client) -> None:
    """A body that is not JSON, or too much of it."""
    sent = client.new("malformed JSON", None)
    good = json.dumps({"model": ECHO, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    place = client.rng.randrange(1, len(good))
    body = client.rng.choice(
        (
            *(good[:place], b"", b"[" * 5_000 + good, good + good, b"\xff\xfe" + good, good.decode().encode("utf-16")),
            *(
                b'{"messages": [' + b"[]," * 120_000 + b"[]]}",
                b"null",
                b'"text"',
                b"\x00" * 100,
                good[:place] + b"\xff",
            ),
        )
    )
    async with connected(client.port) as connection:
        await connection.send(request("POST", CHAT, sent.id, body))
        settle(sent, await connection.reply(), 400)


async def wrong_types(client: Client) -> None:
    """JSON that does not fit the contract."""
    sent = client.new("wrong types", None)
    name, values = client.rng.choice(
        (
            ("messages", (None, 5, "text", [], [None], [{"role": "user"}], [{"role": 5, "content": "x"}], {})),
            ("max_tokens", ("5", -2, 0.5, [], 10**80)),
            ("temperature", ("1", -1, 3, [], {}, 1e308)),
            ("stream", ("true", 1, [])),
            ("stop", (5, {}, [5], ["x"] * 1000)),
            ("tools", (5, "x", [5], [{"type": "function"}])),
        )
    )
    body = {"model": ECHO, "messages": [{"role": "user", "content": "Hello"}], name: client.rng.choice(values)}
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, body))
        settle(sent, await connection.reply(), 400)


async def huge(client: Client) -> None:
    """A body over `--max-body-size`."""
    sent = client.new("huge body", None)
    body = client.chat(sent, metadata={"text": "x" * (BODY_LIMIT + client.rng.randint(1, BODY_LIMIT))})
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, body))
        settle(sent, await connection.reply(), 413, code="request_too_large")


async def misdirected(client: Client) -> None:
    """A path, a method or a model that the server does not have."""
    sent = client.new("wrong path, method or model", None)
    body = json.dumps(client.chat(sent, model="no-such-model")).encode()
    method, path, status, code = client.rng.choice(
        (
            ("POST", "/v1/no/such/path", 404, "not_found"),
            ("PUT", CHAT, 405, "method_not_allowed"),
            ("POST", CHAT, 404, "model_not_found"),
        )
    )
    async with connected(client.port) as connection:
        await connection.send(request(method, path, sent.id, body))
        settle(sent, await connection.reply(), status, code=code)


async def unread(client: Client) -> None:
    """A client that takes nothing of a long stream: the server closes the connection after `--write-timeout`."""
    sent = client.new("unread stream", ECHO)
    body = client.chat(sent, stream=True, max_tokens=UNREAD_WORDS)
    body["messages"][0]["content"] += " word" * UNREAD_WORDS
    async with connected(client.port, small=True) as connection:
        await connection.send(client.post(sent, body))
        sent.status, _ = await connection.head()
        await asyncio.sleep(1.5 * WRITE_SECONDS)
    # A busy server may not have written as much as the system keeps: then the client leaves first.
    sent.ended, sent.how = time.monotonic(), "unread"


async def stalled_sender(client: Client) -> None:
    """A body whose end does not arrive within `--body-timeout`."""
    sent = client.new("stalled sender", client.chatting())
    body = json.dumps(client.chat(sent)).encode()
    async with connected(client.port) as connection:
        await connection.send(request("POST", CHAT, sent.id, body[:-5], length=len(body)))
        settle(sent, await connection.reply(), 408, code="request_timeout")


FAULTY: dict[Callable[[Client], Awaitable[None]], float] = {
    cancelled: 9, left_early: 5, half_closed: 2, truncated: 3, malformed: 6, wrong_types: 6, huge: 1.5,
    misdirected: 3, unread: 0.2, stalled_sender: 1,
}  # fmt: skip
"""Each kind, and how often it is chosen."""
