"""Connections: clients that do not read, leave, come back or say nothing, and a server that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from litestar import Litestar

from providers.chat.types import Accepted, ChatPrompt, Finished, GenerationEvent, GenerationRequest, TextDelta, Usage
from server.api.realtime import hub as hubs
from server.api.realtime.connection import Limits
from server.api.realtime.outbox import Outbox
from tests.unit.server.api.realtime.sockets import Socket, connected
from tests.unit.server.api.spoken.apps import repeat
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, ask, make_app


def say(socket: Socket, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    socket.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    socket.send("response.create")


async def test_the_outbox_keeps_order_and_has_a_bound() -> None:
    outbox = Outbox(most=3)
    for frame in ("ab", "cd", "ef"):
        outbox.put(frame)
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert [await outbox.next(), await outbox.next()] == ["ab", "cd"]
    await asyncio.wait_for(waiting, 5)
    outbox.put("x" * 12)
    reading = asyncio.create_task(outbox.room(slack=True))
    await asyncio.sleep(0)
    assert not reading.done()
    assert await outbox.next() == "ef"
    await asyncio.wait_for(reading, 5)
    assert await outbox.next() == "x" * 12
    outbox.close()
    outbox.put("late")
    assert await outbox.next() is None


async def test_a_client_that_does_not_read_holds_generation_up() -> None:
    made = 0

    async def long(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        nonlocal made
        yield Accepted(5, 0)
        for _ in range(5000):
            made += 1
            yield TextDelta("x" * 1000)
        yield Finished("stop", Usage(5, 9), 0.1, 0.2)

    async with connected(make_app(FakeChat(script=long))) as socket:
        await socket.until("session.created")
        socket.reads.clear()
        say(socket, "Go on.")
        before = -1
        while made != before or not made:
            before = made
            for _ in range(200):
                await asyncio.sleep(0)
        assert made < 500
        socket.reads.set()
        assert (await socket.until("response.done"))["response"]["status"] == "completed"
    assert made == 5000


async def test_a_client_that_takes_nothing_loses_its_connection() -> None:
    socket = Socket(limited(Limits(write=0.05)), "/v1/realtime", {}, ())
    await socket.until("session.created")
    socket.reads.clear()
    socket.send("session.update", session={})
    await socket.finished()
    assert socket.closed is None


def limited(limits: Limits, chat: FakeChat | None = None) -> Litestar:
    app = make_app(chat or FakeChat())
    app.state.hub.limits = limits
    return app


async def test_an_idle_session_ends() -> None:
    async with connected(limited(Limits(idle=0.05))) as socket:
        assert (await socket.until("error"))["error"]["code"] == "session_idle"
        await socket.finished()
    assert socket.closed is not None
    assert socket.closed["code"] == 1001


async def test_a_session_is_resumed() -> None:
    chat = FakeChat(script=repeat)
    app = make_app(chat)
    async with connected(app) as socket:
        id = (await socket.until("session.created"))["session"]["id"]
        socket.send("session.update", session={"instructions": "Be brief."})
        say(socket, "one")
        await socket.until("response.done")
        async with connected(app, f"/v1/realtime?session_id={id}") as second:
            assert (await second.until("error"))["error"]["param"] == "session_id"  # it has a connection
    async with connected(app, f"/v1/realtime?session_id={id}") as socket:
        session = (await socket.until("session.created"))["session"]
        assert (session["id"], session["instructions"]) == (id, "Be brief.")
        say(socket, "two")
        await socket.until("response.done")
    prompt = chat.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    assert [turn.content for turn in prompt.messages] == ["Be brief.", "one", "one", "two"]


async def test_a_session_of_another_key_is_not_resumed() -> None:
    app = make_app(FakeChat(), api_key="a", api_key_file=("b",))
    async with connected(app, headers={"authorization": "Bearer a"}) as socket:
        id = (await socket.until("session.created"))["session"]["id"]
    async with connected(app, f"/v1/realtime?session_id={id}", headers={"authorization": "Bearer b"}) as socket:
        assert (await socket.until("error"))["error"]["param"] == "session_id"


async def test_sessions_are_kept_for_a_time_and_in_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MAX_KEPT", 1)
    app = make_app(FakeChat())
    ids = []
    for _ in range(2):
        async with connected(app) as socket:
            ids.append((await socket.until("session.created"))["session"]["id"])
    async with connected(app, f"/v1/realtime?session_id={ids[0]}") as socket:
        assert (await socket.until("error"))["error"]["code"] == "not_found"
    monkeypatch.setattr(hubs, "KEPT_SECONDS", -1)
    async with connected(app, f"/v1/realtime?session_id={ids[1]}") as socket:
        await socket.until("session.created")
    async with connected(app, f"/v1/realtime?session_id={ids[1]}") as socket:
        assert (await socket.until("error"))["error"]["code"] == "not_found"


async def test_a_server_that_ends_lets_a_response_end_and_says_why() -> None:
    go_on = asyncio.Event()

    async def slow(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(5, 0)
        yield TextDelta("a ")
        await go_on.wait()
        yield TextDelta("b")
        yield Finished("stop", Usage(5, 2), 0.1, 0.2)

    app = make_app(FakeChat(script=slow), grace_period=30)
    async with connected(app) as quiet, connected(app) as busy:
        await quiet.until("session.created")
        say(busy, "Hi")
        await busy.until("response.output_text.delta")
        app.state.drain.begin()
        await quiet.finished()
        assert quiet.events[-1]["error"]["code"] == "model_not_ready"
        assert quiet.closed is not None
        assert quiet.closed["code"] == 1001
        assert busy.closed is None
        go_on.set()
        await busy.finished()
    assert [event["type"] for event in busy.events[-2:]] == ["response.done", "error"]
    assert busy.events[-2]["response"]["status"] == "completed"


async def test_a_grace_period_that_is_over_ends_a_response() -> None:
    async def endless(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(5, 0)
        yield TextDelta("a ")
        await asyncio.Event().wait()

    chat = FakeChat(script=endless)
    app = make_app(chat, grace_period=0.05)
    async with connected(app) as socket:
        say(socket, "Hi")
        await socket.until("response.output_text.delta")
        app.state.drain.begin()
        assert (await socket.until("response.done"))["response"]["status"] == "failed"
        await socket.finished()
    assert chat.closed.is_set()
    assert socket.closed is not None
    assert socket.closed["code"] == 1001


async def test_responses_count_as_requests() -> None:
    app = make_app(FakeChat(), rate_limit=("minute", 2))
    async with connected(app) as socket:
        say(socket, "one")
        assert (await socket.until("response.done"))["response"]["status"] == "completed"
        assert (await ask(app, json=BODY)).status == 200
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
    assert done["status_details"]["error"]["code"] == "rate_limit_exceeded"
    assert (await ask(app, json=BODY)).status == 429


async def test_a_client_that_does_not_read_does_not_hold_up_the_end() -> None:
    app = limited(Limits(write=1000, farewell=0.05))
    socket = Socket(app, "/v1/realtime", {}, ())
    await socket.until("session.created")
    socket.reads.clear()
    socket.send("session.update", session={})
    await asyncio.sleep(0.01)
    app.state.drain.begin()
    await socket.finished()
