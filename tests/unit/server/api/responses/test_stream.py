"""A streamed response: OpenAI's events in OpenAI's order, for every end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.responses.events import (
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseTextDeltaEvent,
)
from contracts.responses.request import CreateResponse
from contracts.responses.response import Response
from providers.chat.types import (
    Accepted,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from providers.errors import EngineCrashed, QueueFull
from server.api.responses.response import ResponseDraft
from server.api.responses.stream import ResponseStreamEncoder
from server.api.responses.tools import offer
from server.serialization import encode_contract
from tests.unit.server.api.responses.scripts import AGENT, PATH, STREAM, WEATHER, script, stream_events, types
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import WAIT, Exchange, ask, make_app, start

Events = AsyncGenerator[GenerationEvent, None]

MESSAGE = [
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
]
REASONING = [name.replace("output_text", "reasoning_text") for name in MESSAGE]
CALL = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]


async def streamed(chat: FakeChat) -> Exchange:
    answer = await ask(make_app(chat), path=PATH, json={**STREAM, "tools": [WEATHER]})
    assert (answer.status, answer.complete) == (200, True)
    return answer


async def test_text_is_streamed_in_openai_s_order_without_done() -> None:
    answer = await streamed(FakeChat())

    events = stream_events(answer)
    assert types(events) == ["created", "in_progress", *MESSAGE, "completed"]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert b"[DONE]" not in answer.body
    created, completed = events[0]["response"], events[-1]["response"]
    assert (created["status"], created["output"], created["usage"]) == ("in_progress", [], None)
    assert (completed["status"], completed["id"]) == ("completed", created["id"])
    assert completed["output"] == [events[-2]["item"]]
    assert completed["usage"]["total_tokens"] == 7


async def test_every_kind_of_item_has_its_events() -> None:
    second = (ToolCallDelta(1, id="call_2", name="get_weather"), ToolCallDelta(1, "{}"))
    events = stream_events(await streamed(FakeChat(script=script(*AGENT, *second, reason="tool_calls"))))

    assert types(events) == ["created", "in_progress", *REASONING, *MESSAGE, *CALL, *CALL, "completed"]
    assert [event["output_index"] for event in events if event["type"].endswith("item.added")] == [0, 1, 2, 3]
    assert [event["item"] for event in events if event["type"].endswith("item.done")] == events[-1]["response"][
        "output"
    ]
    assert [event["arguments"] for event in events if event["type"].endswith("arguments.done")] == [
        '{"city": "Paris"}',
        "{}",
    ]
    added = [event["item"] for event in events if event["type"].endswith("item.added")]
    assert [item["status"] for item in added] == ["in_progress"] * 4
    assert (added[2]["name"], added[2]["call_id"], added[2]["arguments"]) == ("get_weather", "call_1", "")


async def test_a_truncated_stream_ends_incomplete() -> None:
    events = stream_events(await streamed(FakeChat(script=script(TextDelta("One"), reason="length"))))

    assert types(events)[-2:] == ["output_item.done", "incomplete"]
    assert events[-2]["item"]["status"] == "incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_log_probabilities_come_with_the_text() -> None:
    token = TokenLogprob("Hi", b"Hi", -0.25, [("Ho", b"Ho", -0.5)])
    events = stream_events(await streamed(FakeChat(script=script(TextDelta("Hi", logprobs=[token])))))

    expected = [{"token": "Hi", "logprob": -0.25, "top_logprobs": [{"token": "Ho", "logprob": -0.5}]}]
    delta, done = (
        next(event for event in events if event["type"].endswith(end)) for end in ("text.delta", "text.done")
    )
    assert delta["logprobs"] == done["logprobs"] == expected


async def test_a_token_that_cannot_be_chosen_has_a_finite_log_probability() -> None:
    token = TokenLogprob("Hi", b"Hi", -0.25, [("Ho", b"Ho", -math.inf)])
    events = stream_events(await streamed(FakeChat(script=script(TextDelta("Hi", logprobs=[token])))))

    reported = [event["logprobs"][0] for event in events if event.get("logprobs")]
    reported.append(events[-1]["response"]["output"][0]["content"][0]["logprobs"][0])
    assert [entry["top_logprobs"][0]["logprob"] for entry in reported] == [-9999.0] * 3


@pytest.mark.parametrize(
    ("error", "code", "type_"),
    [
        (EngineCrashed("the engine died"), "server_error", "engine_crashed"),
        (ZeroDivisionError("secret"), "server_error", "internal_error"),
    ],
)
async def test_a_failure_in_the_stream_is_response_failed_and_is_stored(
    error: Exception, code: str, type_: str
) -> None:
    async def fail(_: GenerationRequest) -> Events:
        yield Accepted(5, 3)
        yield TextDelta("Hel")
        raise error

    app = make_app(FakeChat(script=fail))
    answer = await ask(app, path=PATH, json=STREAM)

    *_, last = stream_events(answer)
    assert last["type"] == "response.failed"
    failed = last["response"]
    assert (failed["status"], failed["error"]["code"], failed["error"]["type"]) == ("failed", code, type_)
    assert (failed["output"][0]["status"], failed["output"][0]["content"][0]["text"]) == ("incomplete", "Hel")
    assert "secret" not in answer.body.decode()
    assert (await ask(app, "GET", f"{PATH}/{failed['id']}")).json == failed


async def test_events_that_make_no_sense_are_a_failure() -> None:
    go_on = asyncio.Event()

    async def headless(_: GenerationRequest) -> Events:
        yield Accepted(5, 3)
        yield TextDelta("Hel")
        await go_on.wait()
        yield ToolCallDelta(0, "{}")
        await asyncio.Future()

    chat = FakeChat(script=headless)
    exchange = start(make_app(chat), path=PATH, json=STREAM)
    await exchange.until(b"Hel")
    go_on.set()
    *_, last = stream_events(await exchange.finished())
    assert (last["type"], last["response"]["error"]["type"]) == ("response.failed", "internal_error")
    assert chat.closed.is_set()


async def test_a_failure_after_a_keep_alive_and_before_anything_else_is_an_error_event() -> None:
    refuse = asyncio.Event()

    async def wait(_: GenerationRequest) -> Events:
        await refuse.wait()
        raise QueueFull("too late")
        yield

    exchange = start(make_app(FakeChat(script=wait), heartbeat_interval=0.01), path=PATH, json=STREAM)
    await exchange.until(b": keep-alive")
    refuse.set()
    await exchange.finished()

    (event,) = stream_events(exchange)
    assert event == {"type": "error", "code": "queue_full", "message": "too late", "param": None, "sequence_number": 0}


async def never_ending(_: GenerationRequest) -> Events:
    yield Accepted(5, 3)
    yield TextDelta("Hel")
    await asyncio.Future()


async def test_a_disconnect_cancels_the_response_and_stores_it_as_cancelled() -> None:
    chat = FakeChat(script=never_ending)
    app = make_app(chat)
    exchange = start(app, path=PATH, json=STREAM)
    await exchange.until(b"Hel")
    exchange.disconnect()
    await asyncio.wait_for(chat.closed.wait(), WAIT)
    await exchange.finished()

    id = stream_events(exchange)[0]["response"]["id"]
    stored = (await ask(app, "GET", f"{PATH}/{id}")).json
    assert (stored["status"], stored["output"][0]["content"][0]["text"]) == ("cancelled", "Hel")
    assert stored["output"][0]["status"] == "incomplete"


async def test_a_response_that_outlives_the_grace_period_fails() -> None:
    app = make_app(FakeChat(script=never_ending))
    exchange = start(app, path=PATH, json=STREAM)
    await exchange.until(b"Hel")

    app.state.drain.begin()

    await exchange.finished()
    *_, last = stream_events(exchange)
    assert (last["type"], last["response"]["error"]["type"]) == ("response.failed", "model_not_ready")


async def test_a_response_can_be_fetched_as_soon_as_its_client_reads_the_end() -> None:
    app = make_app()
    exchange = start(app, path=PATH, json=STREAM)
    await exchange.until(b"response.completed")
    id = stream_events(exchange)[-1]["response"]["id"]
    assert (await ask(app, "GET", f"{PATH}/{id}")).status == 200


async def test_a_streamed_response_that_is_not_to_be_stored_is_not() -> None:
    app = make_app()
    events = stream_events(await ask(app, path=PATH, json={**STREAM, "store": False}))
    assert (await ask(app, "GET", f"{PATH}/{events[-1]['response']['id']}")).status == 404


# The encoder by itself.


def encoder(ended: list[Response] | None = None) -> ResponseStreamEncoder:
    request = CreateResponse(model="m", input="x")
    draft = ResponseDraft(request, offer(request.tools), FakeChat(name="m"), id="resp_1", request_id='a"b')
    return ResponseStreamEncoder(draft, (ended if ended is not None else []).append)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
FINISHED = Finished("stop", Usage(1, 1), prefill_seconds=0, decode_seconds=0)


@given(text=TEXTS)
def test_a_delta_is_byte_for_byte_the_converter_s(text: str) -> None:
    """The fast path writes what the converter would."""
    for first, again, expected in (
        (
            TextDelta("a"),
            TextDelta(text),
            ResponseTextDeltaEvent(item_id="msg_10000", output_index=0, content_index=0, delta=text, sequence_number=5),
        ),
        (
            ReasoningDelta("a"),
            ReasoningDelta(text),
            ResponseReasoningTextDeltaEvent(
                item_id="rs_10000", output_index=0, content_index=0, delta=text, sequence_number=5
            ),
        ),
        (
            ToolCallDelta(0, "", "c", "f"),
            ToolCallDelta(0, text),
            ResponseFunctionCallArgumentsDeltaEvent(item_id="fc_10000", output_index=0, delta=text, sequence_number=3),
        ),
    ):
        stream = encoder()
        stream.encode([Accepted(1, 0)])
        stream.encode([first])
        written = stream.encode([again])
        assert written == b"event: " + expected.type.encode() + b"\ndata: " + encode_contract(expected) + b"\n\n"
        assert written.count(b"\n\n") == 1


DELTAS = st.one_of(
    st.builds(TextDelta, TEXTS | st.just("")),
    st.builds(ReasoningDelta, TEXTS),
)


@settings(deadline=None)  # a busy machine must not fail the test
@given(deltas=st.lists(DELTAS, max_size=8), data=st.data())
def test_however_events_are_bundled_the_response_is_the_same(
    deltas: list[GenerationEvent], data: st.DataObject
) -> None:
    events = [Accepted(1, 0), *deltas, FINISHED]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(events)))))
    ended: list[Response] = []
    stream = encoder(ended)
    written = b"".join(
        stream.encode(events[begin:end]) for begin, end in zip([0, *cuts], [*cuts, len(events)], strict=True)
    )
    whole: list[Response] = []
    encoder(whole).encode(events)

    assert ended[0].output == whole[0].output
    streamed: dict[int, str] = {}
    for event in stream_events(written):
        if event["type"].endswith("text.delta"):
            streamed[event["output_index"]] = streamed.get(event["output_index"], "") + event["delta"]
    final = stream_events(written)[-1]["response"]["output"]
    assert {index: item["content"][0]["text"] for index, item in enumerate(final)} == (streamed or {0: ""})


def test_the_end_is_reported_once() -> None:
    ended: list[Response] = []
    stream = encoder(ended)
    stream.encode([Accepted(1, 0), TextDelta("a"), FINISHED])
    stream.close()
    assert [response.status for response in ended] == ["completed"]


def test_a_response_that_was_never_accepted_has_no_end() -> None:
    ended: list[Response] = []
    stream = encoder(ended)
    stream.failure(QueueFull("full"))
    stream.close()
    assert ended == []
