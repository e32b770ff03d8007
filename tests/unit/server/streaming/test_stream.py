"""Streams with a slow client, a client that went away, or a provider that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

import server.streaming.sse
import server.streaming.unsent
from providers.chat.types import Accepted, GenerationEvent, GenerationRequest, TextDelta
from providers.errors import EngineCrashed, ModelNotReady, QueueFull
from tests.unit.server.fakes import FINISHED, FakeChat
from tests.unit.server.harness import BODY, WAIT, ask, make_app, serving, start

STREAM = {**BODY, "stream": True}
Events = AsyncGenerator[GenerationEvent, None]


async def test_a_refusal_before_the_first_event_keeps_its_status() -> None:
    async def script(_: GenerationRequest) -> Events:
        raise QueueFull("100 requests wait already", retry_after=2.5)
        yield

    answer = await ask(make_app(FakeChat(script=script)), json=STREAM)

    assert answer.status == 429
    assert answer.headers["retry-after"] == "3"
    assert answer.error["code"] == "queue_full"


async def test_nothing_is_sent_before_the_request_is_accepted() -> None:
    accepted = asyncio.Event()

    async def script(_: GenerationRequest) -> Events:
        await accepted.wait()
        yield Accepted(1, 0)
        yield FINISHED

    chat = FakeChat(script=script)
    exchange = start(make_app(chat), json=STREAM)
    await asyncio.wait_for(chat.started.wait(), WAIT)
    assert exchange.sent == []

    accepted.set()
    await exchange.finished()
    assert exchange.status == 200


async def test_a_long_wait_sends_headers_and_keep_alive_comments() -> None:
    accepted = asyncio.Event()

    async def script(_: GenerationRequest) -> Events:
        await accepted.wait()
        yield Accepted(1, 0)
        yield FINISHED

    exchange = start(make_app(FakeChat(script=script), heartbeat_interval=0.01), json=STREAM)
    await exchange.until(b": keep-alive\n: keep-alive\n")
    assert exchange.status == 200

    accepted.set()
    await exchange.finished()
    assert exchange.chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_comment_makes_no_empty_event() -> None:
    """As a parser sees it that dispatches whatever stands before a blank line."""
    accepted = asyncio.Event()

    async def script(_: GenerationRequest) -> Events:
        await accepted.wait()
        yield Accepted(1, 0)
        yield FINISHED

    exchange = start(make_app(FakeChat(script=script), heartbeat_interval=0.01), json=STREAM)
    await exchange.until(b": keep-alive\n: keep-alive\n")
    accepted.set()
    await exchange.finished()

    blocks = exchange.body.removesuffix(b"\n\n").split(b"\n\n")
    assert all(any(line.startswith(b"data: ") for line in block.split(b"\n")) for block in blocks)


async def test_an_event_that_comes_while_a_client_takes_no_comment_is_sent_after_it() -> None:
    accepted, finish = asyncio.Event(), asyncio.Event()

    async def script(_: GenerationRequest) -> Events:
        await accepted.wait()
        yield Accepted(1, 0)
        yield TextDelta("a")
        await finish.wait()
        yield FINISHED

    exchange = start(make_app(FakeChat(script=script), heartbeat_interval=0.2), json=STREAM)
    await exchange.until(b": keep-alive\n")
    exchange.reads.clear()
    exchange.offered.clear()
    await asyncio.wait_for(exchange.offered.wait(), WAIT)
    accepted.set()
    for _ in range(20):  # every other task has run many times
        await asyncio.sleep(0)
    assert b'"a"' not in exchange.body

    exchange.reads.set()
    for _ in range(20):  # without waiting for the next comment
        await asyncio.sleep(0)
    assert b'"a"' in exchange.body
    finish.set()
    await exchange.finished()
    assert exchange.chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", STREAM), ("/v1/responses", {"input": "Hi", "model": "m", "stream": True})],
)
async def test_characters_that_parsers_take_for_line_breaks_are_escaped(path: str, body: dict[str, Any]) -> None:
    text = "a\u2028b\u2029c\u0085d é \u2026"

    async def script(_: GenerationRequest) -> Events:
        yield Accepted(1, 0)
        yield TextDelta(text)
        yield FINISHED

    answer = await ask(make_app(FakeChat(script=script)), path=path, json=body)

    assert answer.body.decode().splitlines() == answer.body.decode().split("\n")[:-1]
    decoded = [msgspec.json.decode(data) for data in answer.data if data != "[DONE]"]
    deltas = [event["delta"] for event in decoded if event.get("type") == "response.output_text.delta"]
    contents = [choice["delta"].get("content") for event in decoded for choice in event.get("choices", [])]
    assert text in [*deltas, *contents]


async def test_a_refusal_after_a_keep_alive_is_an_error_event() -> None:
    refuse = asyncio.Event()

    async def script(_: GenerationRequest) -> Events:
        await refuse.wait()
        raise QueueFull("too late")
        yield

    exchange = start(make_app(FakeChat(script=script), heartbeat_interval=0.01), json=STREAM)
    await exchange.until(b": keep-alive")
    refuse.set()
    await exchange.finished()

    assert [chunk["error"]["code"] for chunk in exchange.chunks] == ["queue_full"]


async def test_keep_alive_comments_are_sent_between_slow_tokens() -> None:
    go_on = asyncio.Event()

    async def script(_: GenerationRequest) -> Events:
        yield Accepted(1, 0)
        yield TextDelta("before")
        await go_on.wait()
        yield FINISHED

    exchange = start(make_app(FakeChat(script=script), heartbeat_interval=0.01), json=STREAM)
    await exchange.until(b"before")
    await exchange.until(b": keep-alive")
    go_on.set()
    await exchange.finished()
    assert exchange.complete


@pytest.mark.parametrize(
    ("error", "code"),
    [(EngineCrashed("the engine died"), "engine_crashed"), (ZeroDivisionError("secret"), "internal_error")],
)
async def test_a_failure_in_the_stream_is_an_error_event_and_never_a_finish(error: Exception, code: str) -> None:
    async def script(_: GenerationRequest) -> Events:
        yield Accepted(1, 0)
        yield TextDelta("Hel")
        raise error

    answer = await ask(make_app(FakeChat(script=script)), json=STREAM)

    assert answer.status == 200
    assert answer.complete
    *chunks, last = answer.chunks
    assert last["error"]["code"] == code
    assert "secret" not in answer.body.decode()
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "Hel"
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)


async def test_events_that_end_without_a_finish_are_an_error() -> None:
    async def script(_: GenerationRequest) -> Events:
        yield Accepted(1, 0)
        yield TextDelta("Hel")

    assert (await ask(make_app(FakeChat(script=script)), json=STREAM)).chunks[-1]["error"]["code"] == "internal_error"
    assert (await ask(make_app(FakeChat(script=script)), json=BODY)).error["code"] == "internal_error"


async def never_ending(_: GenerationRequest) -> Events:
    yield Accepted(1, 0)
    yield TextDelta("a")
    await asyncio.Future()


async def never_accepted(_: GenerationRequest) -> Events:
    await asyncio.Future()
    yield Accepted(1, 0)


@pytest.mark.parametrize("script", [never_accepted, never_ending])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_disconnect_closes_the_generator(script: object, stream: bool) -> None:
    chat = FakeChat(script=script)  # type: ignore[arg-type]
    exchange = start(make_app(chat), json={**BODY, "stream": stream})
    await asyncio.wait_for(chat.started.wait(), WAIT)

    exchange.disconnect()

    await asyncio.wait_for(chat.closed.wait(), WAIT)
    await exchange.finished()
    assert b"finish_reason" not in exchange.body or b'"finish_reason":null' in exchange.body


async def test_a_disconnect_of_a_client_that_reads_nothing_closes_the_generator() -> None:
    chat = FakeChat(script=never_ending)
    exchange = start(make_app(chat), json=STREAM)
    exchange.reads.clear()
    await asyncio.wait_for(chat.started.wait(), WAIT)

    exchange.disconnect()

    await asyncio.wait_for(chat.closed.wait(), WAIT)
    await exchange.finished()


async def test_a_server_that_cancels_the_request_closes_the_generator() -> None:
    chat = FakeChat(script=never_ending)
    exchange = start(make_app(chat), json=STREAM)
    await exchange.until(b'"a"')

    exchange.task.cancel()

    await asyncio.wait_for(chat.closed.wait(), WAIT)
    with pytest.raises(asyncio.CancelledError):
        await exchange.task


async def test_a_slow_client_gets_the_whole_text_in_fewer_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server.streaming.sse, "MAX_PENDING", 8)
    monkeypatch.setattr(server.streaming.unsent, "MAX_UNSENT", 1)
    produced: list[int] = []

    async def script(_: GenerationRequest) -> Events:
        yield Accepted(1, 0)
        for number in range(100):
            produced.append(number)
            yield TextDelta(f"{number} ")
        yield FINISHED

    exchange = start(make_app(FakeChat(script=script)), json=STREAM)
    exchange.reads.clear()
    for _ in range(200):  # every other task has run many times
        await asyncio.sleep(0)
    assert len(produced) <= 2 * server.streaming.sse.MAX_PENDING, "the server read ahead without a bound"

    exchange.reads.set()
    await exchange.finished()
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in exchange.chunks]
    assert "".join(deltas) == "".join(f"{number} " for number in range(100))
    assert len(deltas) < 100


async def test_an_answer_gives_its_place_back_before_a_slow_client_has_read_it() -> None:
    async def script(_: GenerationRequest) -> Events:
        yield Accepted(1, 0)
        for number in range(5_000):
            yield TextDelta(f"{number} ")
        yield FINISHED

    chat = FakeChat(script=script)
    exchange = start(make_app(chat), json=STREAM)
    exchange.reads.clear()

    await asyncio.wait_for(chat.closed.wait(), WAIT)
    assert not exchange.sent

    exchange.reads.set()
    await exchange.finished()
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in exchange.chunks)
    assert text == "".join(f"{number} " for number in range(5_000))
    assert exchange.chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_client_that_takes_nothing_loses_its_answer() -> None:
    chat = FakeChat(script=never_ending)
    exchange = start(make_app(chat, write_timeout=0.05), json=STREAM)
    exchange.reads.clear()

    await asyncio.wait_for(chat.closed.wait(), WAIT)
    await exchange.finished()
    assert not exchange.complete


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_stream_that_outlives_the_grace_period_ends_with_an_error_event(accepted: bool) -> None:
    chat = FakeChat(script=never_ending if accepted else never_accepted)
    app = make_app(chat, heartbeat_interval=0.01)
    exchange = start(app, json=STREAM)
    await exchange.until(b'"a"' if accepted else b": keep-alive")

    app.state.drain.begin()
    assert chat.draining

    await exchange.finished()
    assert exchange.chunks[-1]["error"]["code"] == "model_not_ready"
    assert exchange.complete
    assert chat.closed.is_set()


async def test_a_whole_answer_that_outlives_the_grace_period_is_a_503() -> None:
    chat = FakeChat(script=never_ending)
    app = make_app(chat)
    exchange = start(app, json=BODY)
    await asyncio.wait_for(chat.started.wait(), WAIT)

    app.state.drain.begin()

    await exchange.finished()
    assert exchange.status == 503
    assert exchange.error["code"] == "model_not_ready"
    assert chat.closed.is_set()


async def test_a_stream_may_end_within_the_grace_period() -> None:
    go_on = asyncio.Event()

    async def script(_: GenerationRequest) -> Events:
        yield Accepted(1, 0)
        yield TextDelta("a")
        await go_on.wait()
        yield FINISHED

    app = make_app(FakeChat(script=script), grace_period=WAIT)
    exchange = start(app, json=STREAM)
    await exchange.until(b'"a"')
    app.state.drain.begin()
    go_on.set()
    await exchange.finished()
    assert exchange.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    app.state.drain.cancel()


async def test_an_expired_drain_ends_a_stream_whose_client_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.streaming.sse, "LAST_WORD_SECONDS", 0.01)
    chat = FakeChat(script=never_ending)
    app = make_app(chat, grace_period=60.0)
    exchange = start(app, json=STREAM)
    exchange.reads.clear()
    await asyncio.wait_for(chat.started.wait(), WAIT)

    app.state.drain.expire()

    await exchange.finished()
    assert chat.closed.is_set()


async def test_the_end_of_the_application_drains_and_stops_the_models() -> None:
    chat = FakeChat()
    app = make_app(chat)
    async with serving(app):
        assert (await ask(app, json=BODY)).status == 200
    assert chat.draining
    assert app.state.service.registry.stopped


async def test_a_request_refused_while_draining_keeps_its_503() -> None:
    async def script(_: GenerationRequest) -> Events:
        raise ModelNotReady("shutting down", retry_after=4.2)
        yield

    answer = await ask(make_app(FakeChat(script=script)), json=STREAM)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
