"""A completion, whole and streamed, of one prompt and of several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from contracts.completions import CompletionRequest
from providers.chat.types import (
    Accepted,
    Finished,
    GenerationEvent,
    GenerationRequest,
    JsonObjectGrammar,
    TextDelta,
    TextPrompt,
    TokenLogprob,
    TokenPrompt,
    Usage,
)
from providers.errors import EngineCrashed, QueueFull
from tests.unit.server.api.chat.test_parameters import HONOURED
from tests.unit.server.api.completions.completing import BODY, PATH, complete, shout, texts, translate
from tests.unit.server.fakes import FakeChat, prompt_text
from tests.unit.server.harness import WAIT, make_app, start
from tests.unit.server.parameters import with_status


async def test_a_whole_completion_has_openai_s_shape() -> None:
    body = (await complete()).json

    assert body.pop("id").startswith("cmpl-")
    assert isinstance(body.pop("created"), int)
    assert body.pop("system_fingerprint").startswith("fp_")
    assert body.pop("request_id")
    assert body == {
        "object": "text_completion",
        "model": "org/fake",
        "choices": [{"index": 0, "text": "ONCE0", "logprobs": None, "finish_reason": "length"}],
        "usage": {
            "prompt_tokens": 4,
            "completion_tokens": 2,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }


@pytest.mark.parametrize(("default", "given", "passed"), [(None, None, 16), (100, None, None), (100, 3, 3)])
async def test_the_models_own_default_replaces_openai_s_limit(
    default: int | None, given: int | None, passed: int | None
) -> None:
    chat = FakeChat(script=shout, max_tokens=default)

    await complete(chat, max_tokens=given)

    assert [request.max_tokens for request in chat.requests] == [passed]


async def test_a_stream_is_text_then_the_finish_then_done() -> None:
    chunks = (await complete(stream=True)).chunks

    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    *pieces, last = [chunk["choices"][0] for chunk in chunks]
    assert "".join(piece["text"] for piece in pieces) == "ONCE0"
    assert all(piece["finish_reason"] is None and piece["logprobs"] is None for piece in pieces)
    assert last == {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
    assert chunks[-1]["usage"]["total_tokens"] == 6


async def test_include_usage_adds_a_last_chunk_without_choices() -> None:
    chunks = (await complete(stream=True, prompt=["a", "b"], stream_options={"include_usage": True})).chunks
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 6
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", [TextPrompt("a")]),
        ("", [TextPrompt("")]),
        (["a", "b"], [TextPrompt("a"), TextPrompt("b")]),
        ([1, 2], [TokenPrompt([1, 2])]),
        ([[1, 2], [3]], [TokenPrompt([1, 2]), TokenPrompt([3])]),
        ([[1, 2], "a"], [TokenPrompt([1, 2]), TextPrompt("a")]),
    ],
)
def test_every_kind_of_prompt_is_accepted(prompt: Any, prompts: list[Any]) -> None:
    assert [request.prompt for request in translate(prompt=prompt)] == prompts


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt": None}, "invalid_request_error", "prompt"),
        ({"prompt": []}, "invalid_request_error", "prompt"),
        ({"prompt": [[]]}, "invalid_request_error", "prompt[0]"),
        ({"prompt": ["a", 1]}, "invalid_request_error", "prompt[1]"),
        ({"prompt": [1, "a"]}, "invalid_request_error", "prompt[0]"),
        ({"prompt": [-1]}, "invalid_request_error", "prompt[0]"),
        ({"prompt": [[1, True]]}, "invalid_request_error", "prompt[0][1]"),
        ({"prompt": ["a"] * 1025}, "invalid_request_error", "prompt"),
        ({"prompt": {"text": "a"}}, "invalid_request_error", "prompt"),
        ({"best_of": 1, "n": 2}, "invalid_request_error", "best_of"),
        ({"best_of": 2, "stream": True}, "invalid_request_error", "best_of"),
        ({"best_of": 9}, "invalid_request_error", "best_of"),
        ({"logprobs": 21}, "invalid_request_error", "logprobs"),
        ({"max_tokens": 0}, "invalid_request_error", "max_tokens"),
        ({"max_tokens": -2, "echo": True}, "invalid_request_error", "max_tokens"),
    ],
)
async def test_an_invalid_completion_request_names_its_parameter(fields: dict[str, Any], code: str, param: str) -> None:
    refused = await complete(**fields)
    assert refused.status == 400
    assert (refused.error["code"], refused.error["param"]) == (code, param)


def test_no_field_is_refused() -> None:
    assert with_status(CompletionRequest, "refused") == set()


SHARED = sorted(with_status(CompletionRequest, "honoured") & HONOURED.keys() - {"logprobs"})


@pytest.mark.parametrize("name", SHARED)
def test_a_parameter_shared_with_chat_means_the_same(name: str) -> None:
    fields, expected = HONOURED[name]
    (plain,), (request,) = translate(), translate(**fields)
    assert request != plain
    assert {path: getattr(request, path) for path in expected} == expected


def test_parameters_that_only_completions_have_reach_the_engine() -> None:
    (plain,) = translate()
    assert plain.max_tokens == 16
    assert plain.top_logprobs is None
    assert translate(logprobs=0)[0].top_logprobs == translate(logprobs=True)[0].top_logprobs == 0
    assert translate(logprobs=False) == translate(logprobs=None) == [plain]
    assert (
        translate(max_completion_tokens=3)
        == translate(max_tokens=3, max_completion_tokens=3.0)
        == translate(max_tokens=3)
    )
    assert translate(logprobs=5)[0].top_logprobs == 5
    assert translate(response_format={"type": "json_object"})[0].grammar == JsonObjectGrammar()
    assert translate(best_of=2, n=2) == translate(n=2)
    (best,) = translate(best_of=3)
    assert (best.n, best.top_logprobs) == (3, 0)
    (scored,) = translate(echo=True, logprobs=1, max_tokens=0)
    assert (scored.max_tokens, scored.prompt_logprobs, scored.top_logprobs) == (0, 1, 1)
    assert translate(echo=True)[0].prompt_logprobs is None
    assert translate(suffix="end")[0].prompt == TextPrompt("Once", "end")
    assert translate(prompt=[1], suffix="end")[0].prompt == TokenPrompt([1], "end")
    assert translate(suffix="", user="someone") == [plain]


@pytest.mark.parametrize("stream", [True, False])
async def test_choices_are_numbered_by_prompt_then_by_answer(stream: bool) -> None:
    exchange = await complete(prompt=["a", "bb"], n=2, stream=stream)

    if stream:
        assert texts(exchange) == {0: "A0", 1: "A1", 2: "BB0", 3: "BB1"}
        usage = exchange.chunks[-1]["usage"]
    else:
        assert [choice["text"] for choice in exchange.json["choices"]] == ["A0", "A1", "BB0", "BB1"]
        assert [choice["index"] for choice in exchange.json["choices"]] == [0, 1, 2, 3]
        usage = exchange.json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (3, 8)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 2, "audio_tokens": 0}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("prompt", [["so ", "no "], [[*b"so "], [*b"no "]]])
async def test_echo_puts_each_prompt_before_its_answers(stream: bool, prompt: Any) -> None:
    exchange = await complete(prompt=prompt, echo=True, n=2, stream=stream)
    reported = texts(exchange) if stream else {choice["index"]: choice["text"] for choice in exchange.json["choices"]}
    assert reported == {0: "so SO 0", 1: "so SO 1", 2: "no NO 0", 3: "no NO 1"}


async def test_echo_of_tokens_that_do_not_exist_is_refused() -> None:
    assert (await complete(prompt=[1000], echo=True)).status == 400


@pytest.mark.parametrize("stream", [True, False])
async def test_echo_comes_before_an_empty_answer(stream: bool) -> None:
    async def silent(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        yield Finished("stop", Usage(1, 0), prefill_seconds=0, decode_seconds=0)

    exchange = await complete(FakeChat(script=silent), echo=True, stream=stream)
    assert (texts(exchange)[0] if stream else exchange.json["choices"][0]["text"]) == "Once"


EURO = "€".encode()
TOKENS = [
    TokenLogprob("a", b"a", -0.5, [("a", b"a", -0.5), ("b", b"b", -1.0)]),
    TokenLogprob("\ufffd", EURO[:1], -0.25, [("\ufffd", EURO[:1], -0.25), ("\ufffd", EURO[1:2], -2.0)]),
    TokenLogprob("\ufffd", EURO[1:], -0.125, [("c", b"c", -0.0625)]),
    TokenLogprob("z", b"z", -3.0),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("logprobs", [0, 2])
async def test_log_probabilities_have_the_older_shape(stream: bool, logprobs: int) -> None:
    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        yield TextDelta("a", logprobs=TOKENS[:1])
        yield TextDelta("€z", 3, logprobs=TOKENS[1:])
        yield Finished("stop", Usage(1, 4), prefill_seconds=0, decode_seconds=0)

    exchange = await complete(FakeChat(script=script), logprobs=logprobs, stream=stream)

    choices = [chunk["choices"][0] for chunk in exchange.chunks] if stream else exchange.json["choices"]
    reported: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for choice in choices:
        for name, values in (choice["logprobs"] or {}).items():
            reported[name].extend(values or [])
    assert reported["tokens"] == ["a", "\ufffd", "\ufffd", "z"]
    assert reported["token_logprobs"] == [-0.5, -0.25, -0.125, -3.0]
    assert reported["text_offset"] == [0, 1, 1, 2]
    assert reported["top_logprobs"] == (
        [{"a": -0.5, "b": -1.0}, {"\ufffd": -0.25}, {"c": -0.0625, "\ufffd": -0.125}, {"z": -3.0}] if logprobs else []
    )


async def test_no_more_prompts_run_than_the_model_has_places() -> None:
    under_way = most = 0

    async def script(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        nonlocal under_way, most
        under_way += request.n
        most = max(most, under_way)
        await asyncio.sleep(0)
        async for event in shout(request):
            if isinstance(event, Finished) and event.index == request.n - 1:
                under_way -= request.n
            yield event

    exchange = await complete(FakeChat(script=script, max_concurrency=5), prompt=["x"] * 40, n=2)
    assert len(exchange.json["choices"]) == 80
    assert most == 4


@pytest.mark.parametrize("stream", [True, False])
async def test_one_prompt_that_fails_ends_all_and_closes_the_others(stream: bool) -> None:
    held = asyncio.Event()
    closed = 0

    async def script(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        nonlocal closed
        if prompt_text(request.prompt) == "full":
            await held.wait()
            raise QueueFull("as many as may", retry_after=3)
        try:
            held.set()
            await asyncio.Event().wait()
            yield Accepted(1, 0)
        finally:
            closed += 1

    refused = await complete(FakeChat(script=script), prompt=["a", "b", "full"], stream=stream)
    assert refused.status == 429
    assert closed == 2


async def test_a_failure_after_the_first_words_is_an_error_event_and_done() -> None:
    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        yield TextDelta("a")
        raise EngineCrashed("died")

    exchange = await complete(FakeChat(script=script), stream=True)
    assert exchange.chunks[-1]["error"]["code"] == "engine_crashed"


async def test_a_disconnect_frees_every_prompt() -> None:
    waiting: set[str] = set()
    everyone = asyncio.Event()

    async def script(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        name = prompt_text(request.prompt)
        waiting.add(name)
        try:
            yield Accepted(1, 0)
            yield TextDelta(name)
            if len(waiting) == 3:
                everyone.set()
            await asyncio.Event().wait()
        finally:
            waiting.discard(name)

    body = {**BODY, "prompt": ["a", "b", "c"], "stream": True}
    exchange = start(make_app(FakeChat(script=script)), path=PATH, json=body)
    async with asyncio.timeout(WAIT):
        await everyone.wait()
    exchange.disconnect()
    await exchange.finished()
    assert waiting == set()
