"""A chat completion, whole and streamed, as a client reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from providers.chat.types import Accepted, Finished, GenerationEvent, GenerationRequest, TextDelta, Usage
from tests.unit.server.fakes import FINISHED, FakeChat
from tests.unit.server.harness import BODY, ask, make_app, start

STREAM = {**BODY, "stream": True}
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 2,
    "total_tokens": 7,
    "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


async def test_a_whole_answer_has_openai_s_shape_and_the_request_id() -> None:
    answer = await ask(make_app(), json=BODY, headers={"x-request-id": "abc"})

    body = answer.json
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert body.pop("id").startswith("chatcmpl-")
    assert isinstance(body.pop("created"), int)
    assert body.pop("system_fingerprint").startswith("fp_")
    assert body == {
        "object": "chat.completion",
        "model": "org/fake",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
        "request_id": "abc",
    }


async def test_a_stream_is_a_role_then_text_then_the_finish_then_done() -> None:
    answer = await ask(make_app(), json=STREAM, headers={"x-request-id": "abc"})

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.complete
    chunks = answer.chunks
    first, *middle, last = [chunk["choices"][0] for chunk in chunks]
    assert first == {"index": 0, "delta": {"role": "assistant"}, "logprobs": None, "finish_reason": None}
    assert "".join(choice["delta"]["content"] for choice in middle) == "Hello"
    assert all(choice["delta"].keys() == {"content"} and choice["finish_reason"] is None for choice in middle)
    assert last == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    for constant in ("id", "created", "model", "system_fingerprint"):
        assert len({chunk[constant] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["request_id"] for chunk in chunks} == {"abc"}


async def test_usage_is_on_the_finish_chunk_without_stream_options() -> None:
    chunks = (await ask(make_app(), json=STREAM)).chunks

    assert chunks[-1]["usage"] == USAGE
    assert all("usage" not in chunk for chunk in chunks[:-1])


async def test_include_usage_adds_a_last_chunk_without_choices() -> None:
    chunks = (await ask(make_app(), json={**STREAM, "stream_options": {"include_usage": True}})).chunks

    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == USAGE
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


async def test_include_usage_false_reports_none() -> None:
    chunks = (await ask(make_app(), json={**STREAM, "stream_options": {"include_usage": False}})).chunks

    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all("usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_truncated_answer_has_finish_reason_length(stream: bool) -> None:
    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        yield TextDelta("One")
        yield Finished("length", Usage(1, 1), prefill_seconds=0, decode_seconds=0)

    answer = await ask(make_app(FakeChat(script=script)), json={**BODY, "stream": stream})

    final = answer.chunks[-1] if stream else answer.json
    assert final["choices"][0]["finish_reason"] == "length"


async def test_an_empty_answer_is_an_empty_string() -> None:
    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        yield FINISHED

    app = make_app(FakeChat(script=script))

    assert (await ask(app, json=BODY)).json["choices"][0]["message"]["content"] == ""
    assert [chunk["choices"][0]["delta"] for chunk in (await ask(app, json=STREAM)).chunks] == [
        {"role": "assistant"},
        {},
    ]


async def test_a_single_model_serves_any_name_and_reports_its_own() -> None:
    assert (await ask(make_app(), json={**BODY, "model": "gpt-4o"})).json["model"] == "org/fake"


async def test_of_several_models_an_unknown_one_is_not_found() -> None:
    app = make_app(FakeChat(name="one"), FakeChat(name="two"))

    assert (await ask(app, json={**BODY, "model": "two"})).json["model"] == "two"
    refused = await ask(app, json={**BODY, "model": "three"})
    assert refused.status == 404
    assert (refused.error["code"], refused.error["param"]) == ("model_not_found", "model")


async def test_two_concurrent_requests_may_share_a_request_id() -> None:
    release = asyncio.Event()

    async def script(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        await release.wait()
        yield TextDelta(request.prompt.messages[0].content)  # type: ignore[union-attr, arg-type]
        yield FINISHED

    app = make_app(FakeChat(script=script))
    exchanges = {
        text: start(
            app,
            json={**STREAM, "messages": [{"role": "user", "content": text}]},
            headers={"x-request-id": "same"},
        )
        for text in ("left", "right")
    }
    for exchange in exchanges.values():
        await exchange.until(b"assistant")
    release.set()

    for text, exchange in exchanges.items():
        await exchange.finished()
        assert exchange.headers["x-request-id"] == "same"
        assert exchange.chunks[1]["choices"][0]["delta"] == {"content": text}
    assert len({exchange.chunks[0]["id"] for exchange in exchanges.values()}) == 2
