"""Completions and tokenization with the embedded model, through the official Python SDK."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from openai import OpenAI
from openai.types import Completion

from tests.live.client import PATIENCE
from tests.live.harness import LiveServer

PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


def complete(client: OpenAI, prompt: Any = PROMPT, **parameters: Any) -> Completion:
    answer: Completion = client.completions.create(
        model="any", prompt=prompt, **{"temperature": 0, "max_tokens": 6, **parameters}
    )
    return answer


def post(server: LiveServer, path: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(f"{server.base_url}{path}", json=body, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_streamed_completion_equals_the_whole_one(client: OpenAI) -> None:
    whole = complete(client)
    with client.completions.create(
        model="any", prompt=PROMPT, temperature=0, max_tokens=6, stream=True, echo=True
    ) as chunks:
        streamed = "".join(choice.text for chunk in chunks for choice in chunk.choices)

    assert "Paris" in whole.choices[0].text
    assert whole.choices[0].finish_reason == "length"
    assert streamed == PROMPT + whole.choices[0].text
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 6


def test_detokenizing_a_text_s_tokens_gives_the_text(client: OpenAI, server: LiveServer) -> None:
    told = post(server, "/tokenize", prompt=PROMPT, return_token_strs=True)
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"])
    assert post(server, "/detokenize", tokens=told["tokens"]) == {"prompt": PROMPT}

    by_tokens = complete(client, told["tokens"], echo=True)
    assert by_tokens.choices[0].text == PROMPT + complete(client).choices[0].text
    assert by_tokens.usage is not None
    assert by_tokens.usage.prompt_tokens == told["count"]


def test_tokenizing_a_conversation_gives_the_count_that_usage_reports(client: OpenAI, server: LiveServer) -> None:
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    counted = post(server, "/tokenize", messages=messages)["count"]
    answer = client.chat.completions.create(model="any", messages=messages, max_tokens=1)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == counted
    assert post(server, "/tokenize", messages=messages, add_generation_prompt=False)["count"] < counted


def test_an_unknown_token_id_is_a_400(server: LiveServer) -> None:
    answer = httpx.post(f"{server.base_url}/detokenize", json={"tokens": [10**9]}, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request_error")


def test_choices_are_in_the_order_of_their_prompts(client: OpenAI) -> None:
    answer = complete(client, ["One, two,", PROMPT, "Once upon a"], n=2)
    assert [choice.index for choice in answer.choices] == list(range(6))
    texts = [choice.text for choice in answer.choices]
    assert texts[0] == texts[1]
    assert "Paris" in texts[2]
    assert "time" in texts[4]


def test_log_probabilities_belong_to_the_tokens_of_the_text(client: OpenAI) -> None:
    (choice,) = complete(client, logprobs=2).choices
    told = choice.logprobs
    assert told is not None
    assert told.tokens is not None
    assert told.token_logprobs is not None
    assert told.top_logprobs is not None
    assert "".join(told.tokens) == choice.text
    assert told.text_offset == [len("".join(told.tokens[:index])) for index in range(len(told.tokens))]
    for token, logprob, top in zip(told.tokens, told.token_logprobs, told.top_logprobs, strict=True):
        assert 2 <= len(top) <= 3
        assert logprob == max(top.values())  # temperature 0 chooses the likeliest
        assert math.isclose(top[token], logprob)
        assert sum(math.exp(value) for value in top.values()) <= 1.001


def test_scored_choices_are_those_that_the_model_prefers(client: OpenAI) -> None:
    """What lm-evaluation-harness sends: prompts of token ids, `echo`, `logprobs` and up to one token of an answer."""
    prompts = [f"{PROMPT} Paris", f"{PROMPT} Rome", f"{PROMPT} banana"]
    for max_tokens in (0, 1):
        scored = complete(client, prompts, echo=True, logprobs=1, max_tokens=max_tokens)
        sums = []
        for choice, prompt in zip(scored.choices, prompts, strict=True):
            told = choice.logprobs
            assert choice.text.startswith(prompt)
            assert told is not None
            assert told.token_logprobs is not None
            assert told.token_logprobs[0] is None
            assert told.tokens is not None
            assert "".join(told.tokens) == choice.text
            begin = next(place for place, offset in enumerate(told.text_offset or []) if offset >= len(PROMPT))
            end = len(told.tokens) - max_tokens
            sums.append(sum(told.token_logprobs[begin:end]))
        assert sums[0] == max(sums)
    assert scored.usage is not None
    assert scored.usage.completion_tokens == 3


def test_the_log_probabilities_of_an_answer_are_those_of_the_same_prompt(client: OpenAI) -> None:
    generated = complete(client, logprobs=2).choices[0]
    scored = complete(client, PROMPT + generated.text, logprobs=2, echo=True, max_tokens=0).choices[0]
    assert generated.logprobs is not None
    assert scored.logprobs is not None
    assert generated.logprobs.token_logprobs is not None
    assert scored.logprobs.token_logprobs is not None
    assert scored.logprobs.token_logprobs[-6:] == pytest.approx(generated.logprobs.token_logprobs, abs=0.02)


def test_a_model_without_tokens_for_it_fills_nothing_in(server: LiveServer) -> None:
    body = {"prompt": "def add(a, b):\n    return ", "suffix": "\n\nprint(add(1, 2))"}
    refused = httpx.post(f"{server.base_url}/completions", json=body, timeout=PATIENCE)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "suffix")


def test_the_best_of_several_is_returned(client: OpenAI) -> None:
    best = complete(client, temperature=1, seed=3, best_of=4, n=1)
    assert len(best.choices) == 1
    assert best.usage is not None
    assert best.usage.completion_tokens > 6
