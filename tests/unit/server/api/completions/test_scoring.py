"""Prompts that are scored, and the best of several completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from providers.chat.types import (
    Accepted,
    Finished,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    TokenLogprob,
    Usage,
)
from tests.unit.server.api.completions.completing import complete
from tests.unit.server.fakes import FakeChat, prompt_text


def scoring(*, answer: str = "!") -> FakeChat:
    """The log-probability of each token of a prompt is its place, and that of the answer is -9."""

    async def run(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        text = prompt_text(request.prompt)
        told = [TokenLogprob("<s>", b"<s>", 0.0)]
        for place, letter in enumerate(text, 1):
            told.append(TokenLogprob(letter, letter.encode(), -float(place), [("z", b"z", -0.5)]))
        yield Accepted(len(told), 0, None if request.prompt_logprobs is None else told)
        for index in range(request.n):
            if request.max_tokens:
                yield TextDelta(answer, index=index, logprobs=[TokenLogprob(answer, answer.encode(), -9.0)])
            yield Finished("length", Usage(len(told), 1, 0), prefill_seconds=0, decode_seconds=0, index=index)

    return FakeChat(script=run)


SCORED = {"echo": True, "logprobs": 1, "temperature": 0, "seed": 1234}
"""What lm-evaluation-harness sends for a task with choices, beside the prompts and `max_tokens`."""


@pytest.mark.parametrize("prompt", ["né", [*b"no"]])
async def test_a_prompt_is_scored_without_an_answer(prompt: Any) -> None:
    (choice,) = (await complete(scoring(), **SCORED, prompt=prompt, max_tokens=0)).json["choices"]
    text = prompt if isinstance(prompt, str) else "no"
    assert choice == {
        "index": 0,
        "text": text,
        "logprobs": {
            "tokens": ["<s>", *text],
            "token_logprobs": [None, -1.0, -2.0],
            "top_logprobs": [None, *({"z": -0.5, letter: -float(place)} for place, letter in enumerate(text, 1))],
            "text_offset": [0, 0, 1],
        },
        "finish_reason": "length",
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_prompts_are_scored_before_their_answers(stream: bool) -> None:
    """The harness leaves out the last token, which it lets the server generate."""
    exchange = await complete(scoring(), **SCORED, prompt=["ab", "c"], max_tokens=1, n=2, stream=stream)
    parts = [choice for chunk in exchange.chunks for choice in chunk["choices"]] if stream else exchange.json["choices"]
    texts: dict[int, str] = {}
    tokens: dict[int, list[tuple[str, float | None, int]]] = {}
    for part in parts:
        texts[part["index"]] = texts.get(part["index"], "") + part["text"]
        told = part["logprobs"] or {"tokens": [], "token_logprobs": [], "text_offset": []}
        rows = zip(told["tokens"], told["token_logprobs"], told["text_offset"], strict=True)
        tokens.setdefault(part["index"], []).extend(rows)
    assert texts == {0: "ab!", 1: "ab!", 2: "c!", 3: "c!"}
    assert tokens[0] == tokens[1] == [("<s>", None, 0), ("a", -1.0, 0), ("b", -2.0, 1), ("!", -9.0, 2)]
    assert tokens[2] == tokens[3] == [("<s>", None, 0), ("c", -1.0, 0), ("!", -9.0, 1)]


async def test_a_blank_that_a_tokenizer_adds_has_no_width() -> None:
    async def run(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        told = [TokenLogprob("<s>", b"<s>", 0.0), TokenLogprob(" no", b" no", -1.0), TokenLogprob("te", b"te", -2.0)]
        yield Accepted(3, 0, told)
        yield Finished("length", Usage(3, 0), prefill_seconds=0, decode_seconds=0)

    (choice,) = (await complete(FakeChat(script=run), **SCORED, prompt="note", max_tokens=0)).json["choices"]
    assert choice["logprobs"]["text_offset"] == [0, 0, 2]


async def test_the_best_choices_are_returned() -> None:
    async def run(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        for index in range(request.n):
            logprob = -float((index * 2) % request.n)  # of 5: 0, -2, -4, -1, -3
            told = [TokenLogprob("x", b"x", logprob)] * 2
            yield TextDelta(str(index), 2, index, told)
            yield Finished("stop", Usage(1, 2), prefill_seconds=0, decode_seconds=0, index=index)

    exchange = await complete(FakeChat(script=run), best_of=5, n=2, prompt=["a", "b"])
    assert [(choice["index"], choice["text"]) for choice in exchange.json["choices"]] == [
        *((0, "0"), (1, "3")),
        *((2, "0"), (3, "3")),
    ]
    assert all(choice["logprobs"] is None for choice in exchange.json["choices"])
    assert exchange.json["usage"]["completion_tokens"] == 20
    assert exchange.json["usage"]["prompt_tokens"] == 2
