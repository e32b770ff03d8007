"""The kinds of requests: what each sends, and what has to come back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from tests.soak.client import CHAT, ECHO, EMBEDDING, Client, check_answer, check_echo, check_stream, settle
from tests.soak.faulty import FAULTY
from tests.soak.ledger import DISK
from tests.soak.wire import connected, request

__all__ = ["KINDS"]


async def whole(client: Client) -> None:
    sent = client.new("whole answer", client.chatting())
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, client.chat(sent), CHAT, "Connection: close"))
        check_answer(sent, settle(sent, await connection.reply(), 200))
        if rest := await connection.rest():
            sent.problem = f"more after the response: {rest[:200]!r}"


async def streamed(client: Client) -> None:
    sent = client.new("stream", client.chatting())
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, client.chat(sent, stream=True), CHAT, "Connection: close"))
        check_stream(sent, settle(sent, await connection.reply(), 200))
        if rest := await connection.rest():
            sent.problem = f"more after the response: {rest[:200]!r}"


async def completion(client: Client) -> None:
    sent = client.new("completion", client.chatting())
    body = {"model": sent.model, "prompt": f"{sent.id} {client.text()}", "max_tokens": 20 if sent.model == ECHO else 2}
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, body, "/v1/completions"))
        check_answer(sent, settle(sent, await connection.reply(), 200))


async def embedding(client: Client) -> None:
    sent = client.new("embedding", EMBEDDING)
    texts = [client.text() for _ in range(client.rng.randint(1, 3))]
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, {"model": sent.model, "input": texts}, "/v1/embeddings"))
        reply = settle(sent, await connection.reply(), 200)
        if reply.status == 200 and [len(one["embedding"]) for one in reply.json()["data"]] != [384] * len(texts):
            sent.problem = "other vectors than were requested"


async def kept_alive(client: Client) -> None:
    """Three requests on one connection, one after the other."""
    async with connected(client.port) as connection:
        for _ in range(3):
            sent = client.new("kept alive", client.chatting())
            await connection.send(client.post(sent, client.chat(sent)))
            check_answer(sent, settle(sent, await connection.reply(), 200))


async def pipelined(client: Client) -> None:
    """Three requests that are sent together, answered in their order."""
    all_sent = [client.new("pipelined", client.chatting()) for _ in range(3)]
    async with connected(client.port) as connection:
        await connection.send(
            b"".join(client.post(sent, client.chat(sent, stream=sent.id[-1] == "2")) for sent in all_sent)
        )
        for sent in all_sent:
            reply = settle(sent, await connection.reply(), 200)
            (check_stream if reply.streamed else check_answer)(sent, reply)


async def slow_reader(client: Client) -> None:
    """A client that takes a stream in small pieces."""
    sent = client.new("slow reader", ECHO)
    body = client.chat(sent, stream=True, max_tokens=1_000)
    body["messages"][0]["content"] += " word" * 100
    async with connected(client.port, small=True) as connection:
        await connection.send(client.post(sent, body))
        check_stream(sent, settle(sent, await connection.reply(pause=0.01), 200))


async def slow_sender(client: Client) -> None:
    """A body that arrives in pieces, within `--body-timeout`."""
    sent = client.new("slow sender", client.chatting())
    async with connected(client.port) as connection:
        await connection.dribble(client.post(sent, client.chat(sent)), 10, 0.05)
        check_answer(sent, settle(sent, await connection.reply(), 200))


async def timed_out(client: Client) -> None:
    """An answer that takes longer than the request's own `timeout`."""
    sent = client.new("own timeout", ECHO)
    body = client.chat(sent, timeout=0.05, chat_template_kwargs={"echo_delay": 0.5})
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, body))
        settle(sent, await connection.reply(), 504, code="timeout")


async def stored(client: Client) -> None:
    """A response that the server stores, and its way back. On a full disk it is answered, and may not be there."""
    sent = client.new("stored response", ECHO)
    body = {"model": ECHO, "input": f"{sent.id} {client.text()}", "store": True}
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, body, "/v1/responses"))
        reply = settle(sent, await connection.reply(), 200)
        check_echo(sent, reply.body.decode())
        path = f"/v1/responses/{reply.json().get('id')}"
        for method in ("GET", "DELETE"):
            asked = client.new("stored response", DISK)
            asked.begun = sent.begun
            await connection.send(request(method, path, asked.id))
            reply = await connection.reply()
            asked.ended = time.monotonic()
            settle(asked, reply, *((200, 404, 507) if client.ledger.down(DISK, asked) else (200,)))


async def uploaded(client: Client) -> None:
    """A file, its content and its end. On a full disk it is refused."""
    sent = client.new("file", DISK)
    content = f"{sent.id} {client.text() * 50}"
    fields = {'name="purpose"': "user_data", 'name="file"; filename="a.txt"': content}
    parts = [f"--soak\r\nContent-Disposition: form-data; {name}\r\n\r\n{text}\r\n" for name, text in fields.items()]
    form = "".join([*parts, "--soak--\r\n"])
    async with connected(client.port) as connection:
        kind = "Content-Type: multipart/form-data; boundary=soak"
        await connection.send(request("POST", "/v1/files", sent.id, form.encode(), kind))
        reply = await connection.reply()
        sent.ended = time.monotonic()
        settle(sent, reply, *((200, 507) if client.ledger.down(DISK, sent) else (200,)))
        if reply.status != 200:
            return
        path = f"/v1/files/{reply.json()['id']}"
        asked = client.new("file", DISK)
        await connection.send(request("GET", f"{path}/content", asked.id))
        if settle(asked, await connection.reply(), 200).body != content.encode():
            asked.problem = "the content is another one"
        asked = client.new("file", DISK)
        await connection.send(request("DELETE", path, asked.id))
        reply = await connection.reply()
        asked.ended = time.monotonic()
        settle(asked, reply, *((200, 507) if client.ledger.down(DISK, asked) else (200,)))


async def remembered(client: Client) -> None:
    """A response from the soak's begin, which is read and continued on a full disk too."""
    if (kept := client.ledger.kept) is None:
        sent = client.new("stored response", ECHO)
        body = {"model": ECHO, "input": "Hello", "store": True}
    else:
        sent = client.new("continued response", ECHO)
        body = {"model": ECHO, "input": f"{sent.id} again", "previous_response_id": kept, "store": False}
    async with connected(client.port) as connection:
        await connection.send(client.post(sent, body, "/v1/responses"))
        reply = settle(sent, await connection.reply(), 200)
        if kept is None:
            client.ledger.kept = reply.json()["id"]
            return
        check_echo(sent, reply.body.decode())
        sent = client.new("continued response")
        await connection.send(request("GET", f"/v1/responses/{kept}", sent.id))
        settle(sent, await connection.reply(), 200)


KINDS: dict[Callable[[Client], Awaitable[None]], float] = {
    whole: 18, streamed: 18, completion: 4, embedding: 6, kept_alive: 3, pipelined: 3, slow_reader: 3, slow_sender: 2,
    timed_out: 2, stored: 2.5, remembered: 2, uploaded: 1.5, **FAULTY,
}  # fmt: skip
"""Each kind, and how often it is chosen."""
