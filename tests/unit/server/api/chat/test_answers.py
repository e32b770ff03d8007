"""Tool calls, reasoning, log-probabilities and several answers, whole and streamed, as a client reads them."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat.types import (
    Accepted,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from server.api.chat.response import ChatChunkEncoder
from tests.unit.server.api.chat.test_chunks import decoded, header
from tests.unit.server.fakes import FakeChat, Script
from tests.unit.server.harness import BODY, Exchange, ask, make_app

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def end(reason: FinishReason = "stop", *, index: int = 0) -> Finished:
    return Finished(reason, Usage(5, 4, 3, 2), prefill_seconds=0.1, decode_seconds=0.2, index=index)


def script(*events: GenerationEvent) -> Script:
    async def play(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(5, 3)
        for event in events:
            yield event

    return play


async def answer(*events: GenerationEvent, **fields: Any) -> Exchange:
    return await ask(make_app(FakeChat(script=script(*events))), json={**BODY, **fields})


CALLS = (
    ReasoningDelta("Let me "),
    ReasoningDelta("see."),
    ToolCallDelta(0, id="call_1", name="look"),
    ToolCallDelta(0, '{"at"'),
    ToolCallDelta(0, ': "me"}'),
    ToolCallDelta(1, id="call_2", name="hear"),
    ToolCallDelta(1, "{}"),
    end("tool_calls"),
)


async def test_a_whole_answer_has_its_calls_and_the_reasoning_before_them() -> None:
    body = (await answer(*CALLS, tools=[TOOL])).json

    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "Let me see.",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "me"}'}},
            {"id": "call_2", "type": "function", "function": {"name": "hear", "arguments": "{}"}},
        ],
    }
    assert body["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2, "audio_tokens": 0}


async def test_streamed_calls_begin_with_their_name_and_their_arguments_concatenate() -> None:
    chunks = (await answer(*CALLS, tools=[TOOL], stream=True)).chunks

    first, *deltas, last = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert (first, last) == ({"role": "assistant"}, {})
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Let me see."
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", [])]
    assert pieces[0] == {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
    assert pieces[1] == {"index": 0, "function": {"arguments": '{"at"'}}
    assert [piece["index"] for piece in pieces] == [0, 0, 0, 1, 1]
    assert "".join(piece["function"]["arguments"] for piece in pieces if piece["index"] == 0) == '{"at": "me"}'
    assert not any("content" in delta for delta in deltas)


async def test_text_beside_a_call_stays_content() -> None:
    body = (await answer(TextDelta("One moment."), *CALLS[2:])).json
    assert body["choices"][0]["message"]["content"] == "One moment."
    assert len(body["choices"][0]["message"]["tool_calls"]) == 2


LOGPROBS = [
    TokenLogprob("é", "é".encode(), -0.5, [("é", "é".encode(), -0.5), ("x", b"x", -math.inf)]),
    TokenLogprob("b", b"b", -0.25),
]
REPORTED = [
    {
        "token": "é",
        "bytes": [195, 169],
        "logprob": -0.5,
        "top_logprobs": [
            {"token": "é", "bytes": [195, 169], "logprob": -0.5},
            {"token": "x", "bytes": [120], "logprob": -9999.0},
        ],
    },
    {"token": "b", "bytes": [98], "logprob": -0.25, "top_logprobs": []},
]


@pytest.mark.parametrize("stream", [True, False])
async def test_log_probabilities_come_with_the_text_they_belong_to(stream: bool) -> None:
    exchange = await answer(
        TextDelta("é", logprobs=LOGPROBS[:1]),
        TextDelta("b", logprobs=LOGPROBS[1:]),
        end(),
        logprobs=True,
        top_logprobs=2,
        stream=stream,
    )

    choices = [chunk["choices"][0] for chunk in exchange.chunks] if stream else exchange.json["choices"]
    reported = [choice["logprobs"] for choice in choices if choice["logprobs"]]
    assert [token for logprobs in reported for token in logprobs["content"]] == REPORTED
    assert all(logprobs["refusal"] is None for logprobs in reported)


async def test_several_answers_are_choices_and_the_prompt_is_counted_once() -> None:
    body = (
        await answer(
            TextDelta("b0", index=1),
            TextDelta("a0"),
            end("length", index=1),
            TextDelta("a1"),
            end(),
            n=2,
        )
    ).json

    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert [choice["message"]["content"] for choice in body["choices"]] == ["a0a1", "b0"]
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop", "length"]
    assert body["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 8,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
    }


@pytest.mark.parametrize("include_usage", [None, True, False])
async def test_streamed_answers_have_indexes_and_usage_comes_last(include_usage: bool | None) -> None:
    options = {} if include_usage is None else {"stream_options": {"include_usage": include_usage}}
    exchange = await answer(
        TextDelta("b", index=1), TextDelta("a"), end(index=1), TextDelta("A"), end(), n=2, stream=True, **options
    )

    chunks = exchange.chunks
    texts = {0: "", 1: ""}
    finished: list[int] = []
    for choice in [choice for chunk in chunks for choice in chunk["choices"]]:
        assert choice["index"] not in finished
        texts[choice["index"]] += choice["delta"].get("content", "")
        if choice["finish_reason"]:
            finished.append(choice["index"])
    assert texts == {0: "aA", 1: "b"}
    assert finished == [1, 0]
    assert [chunk["choices"][0]["index"] for chunk in chunks[:2]] == [0, 1]
    assert all(chunk["choices"][0]["delta"] == {"role": "assistant"} for chunk in chunks[:2])
    counted = [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage")]
    assert counted == ([] if include_usage is False else [8])
    if include_usage is not False:
        assert chunks[-1]["usage"]["completion_tokens"] == 8


async def test_a_stream_whose_second_answer_never_ends_is_an_error_not_a_success() -> None:
    exchange = await answer(TextDelta("a"), end(), n=2, stream=True)
    assert "error" in exchange.chunks[-1]


async def test_a_fingerprint_is_on_whole_answers_and_chunks() -> None:
    whole = (await answer(end(), seed=7)).json
    chunks = (await answer(end(), seed=7, stream=True)).chunks
    assert {chunk["system_fingerprint"] for chunk in chunks} == {whole["system_fingerprint"]}


deltas = st.one_of(
    st.builds(TextDelta, st.text("ab", max_size=2), index=st.integers(0, 2)),
    st.builds(TextDelta, st.text("ab", max_size=2), index=st.integers(0, 2), logprobs=st.just(LOGPROBS[1:])),
    st.builds(ReasoningDelta, st.text("ab", max_size=2), index=st.integers(0, 2)),
)


def read(chunks: Sequence[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """By answer: content, reasoning, and the number of log-probabilities."""
    read = [("", "", 0)] * 3
    for choice in [choice for chunk in chunks for choice in chunk["choices"]]:
        content, reasoning, count = read[choice["index"]]
        delta, logprobs = choice["delta"], choice["logprobs"] or {"content": []}
        read[choice["index"]] = (
            content + delta.get("content", ""),
            reasoning + delta.get("reasoning_content", ""),
            count + len(logprobs["content"]),
        )
    return read


@given(events=st.lists(deltas, max_size=20), cuts=st.sets(st.integers(0, 20)))
def test_however_events_are_bundled_every_answer_reads_the_same(events: list[GenerationEvent], cuts: set[int]) -> None:
    bundled = ChatChunkEncoder(header(), include_usage=None, n=3)
    single = ChatChunkEncoder(header(), include_usage=None, n=3)
    places = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    bundles = [events[begin:finish] for begin, finish in pairwise(places)]

    one = read([chunk for event in events for chunk in decoded(single.encode([event]))])
    assert read([chunk for bundle in bundles for chunk in decoded(bundled.encode(bundle))]) == one
    assert one == [
        (
            "".join(event.text for event in events if isinstance(event, TextDelta) and event.index == index),
            "".join(event.text for event in events if isinstance(event, ReasoningDelta) and event.index == index),
            sum(isinstance(event, TextDelta) and event.index == index and bool(event.logprobs) for event in events),
        )
        for index in range(3)
    ]
