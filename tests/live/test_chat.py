"""Chats with the embedded model through the official Python SDK, or plain HTTP for bodies that it cannot send."""

from __future__ import annotations

import json
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.live.client import PATIENCE, ask, assert_error, chat, eventually, queue_stats, stream
from tests.live.harness import LiveServer

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
BROKEN = "\N{REPLACEMENT CHARACTER}"
QUESTIONS = [
    QUESTION,
    "Name three colours.",
    "Why is the sky blue?",
    "Write a line about the sea.",
    "What do cows eat?",
    "Count from one to ten.",
    "Who wrote Hamlet?",
    "Explain rain to a child.",
]


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


def say(client: OpenAI, text: str = QUESTION, **parameters: Any) -> ChatCompletion:
    parameters = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 24, **parameters}
    answer: ChatCompletion = client.chat.completions.create(model="any", **parameters)
    return answer


def chunks_of(client: OpenAI, text: str = QUESTION, **parameters: Any) -> list[ChatCompletionChunk]:
    parameters = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 24, **parameters}
    with client.chat.completions.create(model="any", stream=True, **parameters) as chunks:
        return list(chunks)


def text_of(answer: ChatCompletion | list[ChatCompletionChunk]) -> str:
    if isinstance(answer, ChatCompletion):
        return answer.choices[0].message.content or ""
    return "".join(choice.delta.content or "" for chunk in answer for choice in chunk.choices)


def finish_of(answer: ChatCompletion | list[ChatCompletionChunk]) -> str:
    if isinstance(answer, ChatCompletion):
        return answer.choices[0].finish_reason
    (reason,) = (choice.finish_reason for chunk in answer for choice in chunk.choices if choice.finish_reason)
    return reason


# ── how an answer ends ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_complete_answer_has_the_finish_reason_stop(client: OpenAI) -> None:
    for answer in (say(client), chunks_of(client)):
        assert (text_of(answer), finish_of(answer)) == (ANSWER, "stop")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_truncated_answer_has_the_finish_reason_length(client: OpenAI, name: str) -> None:
    limit = {"max_tokens": None, name: 3}
    whole, pieces = say(client, **limit), chunks_of(client, **limit)

    assert (text_of(whole), finish_of(whole)) == ("The capital of", "length")
    assert (text_of(pieces), finish_of(pieces)) == ("The capital of", "length")
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 3


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("tal of Fra", "The capi"),  # begins and ends inside tokens
        (["Paris", " is"], "The capital of France"),  # the first in the text, regardless of its place in the list
        ([" of Spain", "is Paris"], "The capital of France "),  # the answer contains only the start of the first
        ("The", ""),
        ("never said", ANSWER),
    ],
)
def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(client: OpenAI, stop: Any, expected: str) -> None:
    for answer in (say(client, stop=stop), chunks_of(client, stop=stop)):
        assert (text_of(answer), finish_of(answer)) == (expected, "stop")


def test_chunks_have_openai_s_form(client: OpenAI) -> None:
    first, *middle, last = chunks_of(client)

    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", None)
    assert all(chunk.choices[0].delta.role is None and chunk.choices[0].delta.content for chunk in middle)
    assert len(middle) > 3, "the answer is not streamed while it is generated"
    assert not last.choices[0].delta.content
    assert {chunk.object for chunk in (first, *middle, last)} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in (first, *middle, last)}) == 1


# ── usage ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("include", [None, True, False])
def test_a_stream_reports_usage_as_requested(client: OpenAI, include: bool | None) -> None:
    options = {} if include is None else {"stream_options": {"include_usage": include}}
    chunks = chunks_of(client, **options)
    with_usage = [chunk for chunk in chunks if chunk.usage is not None]

    if include is False:
        assert with_usage == []
        return
    assert with_usage == [chunks[-1]]
    assert bool(chunks[-1].choices) is (include is None)
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.completion_tokens, usage.total_tokens) == (8, usage.prompt_tokens + 8)


def test_the_second_turn_reuses_the_first_from_the_prefix_cache(client: OpenAI) -> None:
    turns: list[dict[str, str]] = [{"role": "user", "content": "My name is Ada, and I like prime numbers. " * 4}]
    first = say(client, messages=turns)
    turns += [{"role": "assistant", "content": text_of(first)}, {"role": "user", "content": "What is my name?"}]
    second = say(client, messages=turns)

    assert first.usage is not None
    assert second.usage is not None
    details = second.usage.prompt_tokens_details
    assert details is not None
    assert details.cached_tokens is not None
    # The whole first turn, question and answer, except its last token, which the model never read.
    assert first.usage.total_tokens - 1 <= details.cached_tokens < second.usage.prompt_tokens


# ── concurrency ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_seed_gives_the_same_answer_inside_a_batch(client: OpenAI) -> None:
    seeded = {"temperature": 1.0, "seed": 7, "max_tokens": 16}
    alone = text_of(say(client, "Tell me a story.", **seeded))
    with ThreadPoolExecutor() as pool:
        others = [pool.submit(say, client, question, temperature=1.0, max_tokens=40) for question in QUESTIONS[:3]]
        twice = [pool.submit(say, client, "Tell me a story.", **seeded) for _ in range(2)]
        another = pool.submit(say, client, "Tell me a story.", **{**seeded, "seed": 8})
        together = [text_of(answer.result()) for answer in twice]
        assert text_of(another.result()) != alone
        assert all(answer.result() for answer in others)

    assert together == [alone, alone]


def test_eight_concurrent_streams_equal_the_separate_ones(client: OpenAI) -> None:
    alone = [text_of(chunks_of(client, question)) for question in QUESTIONS]
    with ThreadPoolExecutor(max_workers=8) as pool:
        together = [text_of(chunks) for chunks in pool.map(lambda question: chunks_of(client, question), QUESTIONS)]

    assert together == alone
    assert len(set(alone)) == 8


def test_two_clients_with_the_same_request_id_each_get_their_own_answer(client: OpenAI) -> None:
    alone = [text_of(say(client, question)) for question in QUESTIONS[:2]]
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(chunks_of, client, question, extra_headers={"x-request-id": "turn-1"})
            for question in QUESTIONS[:2]
        ]

    assert [text_of(answer.result()) for answer in asked] == alone


# ── text in pieces ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["你好世界", "😀 🎉 👩‍👩‍👧", "Ünïcödé"])
def test_no_character_is_split_between_chunks(client: OpenAI, server: LiveServer, text: str) -> None:
    body = chat(f"Repeat after me: {text} {text} {text}", temperature=0, max_tokens=24)
    with stream(server.url, body) as answer:
        pieces = list(answer.pieces())

    said = "".join(pieces)
    if answer.finish_reasons == ["length"]:  # the last allowed token may be the first half of a character
        said = said.removesuffix(BROKEN)
    assert any(len(character.encode()) > 1 for character in said), said
    assert BROKEN not in said


# ── unusual and invalid input ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("member", "param"),
    [
        ('"logit_bias": {"49152": 1}', "logit_bias"),
        ('"logit_bias": {"9999999999999999999999": 1}', "logit_bias.9999999999999999999999"),
        ('"logit_bias": {"-1": 1}', "logit_bias.-1"),
        ('"logit_bias": {"5": NaN}', "logit_bias.5"),
        (f'"seed": {"9" * 80}', "seed"),
        (f'"seed": -{"9" * 80}', "seed"),
        ('"temperature": NaN', "temperature"),
        ('"top_p": Infinity', "top_p"),
        ('"timeout": -Infinity', "timeout"),
        ('"temperature": 1e999', "temperature"),
        ('"stop": "\\ud800"', "stop"),
        (f'"stop": {json.dumps(["x"] * 1000)}', "stop"),
        ('"user": "\\udfff"', "user"),
    ],
)
def test_an_impossible_value_is_a_400_with_its_path(server: LiveServer, member: str, param: str) -> None:
    body = '{"model": "any", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, ' + member + "}"

    answer = ask(server.url, content=body, headers={"content-type": "application/json"})

    assert_error(answer, 400, "invalid_request_error", param=param)
    assert queue_stats(server.url)["active"] == 0


@pytest.mark.parametrize("streamed", [False, True])
def test_half_a_surrogate_pair_in_a_message_is_a_400(server: LiveServer, streamed: bool) -> None:
    body = json.dumps(chat("half: \ud83d", stream=streamed))

    answer = ask(server.url, content=body, headers={"content-type": "application/json"})

    assert_error(answer, 400, "invalid_request_error", param="messages[0].content")


@pytest.mark.parametrize("seed", [0, -(2**63), 2**63 - 1, 2**64 - 1])
def test_any_64_bit_seed_is_accepted(server: LiveServer, seed: int) -> None:
    body = chat("Hi", seed=seed, temperature=1, max_tokens=4)

    first, second = (ask(server.url, body).json()["choices"][0]["message"]["content"] for _ in range(2))

    assert first == second


def test_the_last_token_of_the_vocabulary_can_be_biased(server: LiveServer) -> None:
    body = chat("Hi", logit_bias={"49151": -100, "260": 100}, max_tokens=3, temperature=0)

    assert ask(server.url, body).json()["choices"][0]["message"]["content"] == " the the the"


def test_thirty_turns_of_empty_strings_are_answered(server: LiveServer) -> None:
    roles = ("user", "assistant") * 15
    for turns in ([*roles, "user"], ["user"] * 30, ["system"] * 30):
        messages = [{"role": role, "content": ""} for role in turns]
        answer = ask(server.url, {"model": "any", "messages": messages, "max_tokens": 2})
        assert answer.status_code == 200, answer.text


def test_null_counts_as_unset(server: LiveServer) -> None:
    optional = (
        "temperature",
        "top_p",
        "stop",
        "seed",
        "logit_bias",
        "max_completion_tokens",
        "tools",
        "stream_options",
    )
    body = chat(QUESTION, temperature=0, max_tokens=24)

    answer = ask(server.url, {**dict.fromkeys(optional), **body})

    assert answer.json()["choices"][0]["message"]["content"] == ANSWER


def test_after_these_tests_the_server_is_healthy(server: LiveServer) -> None:
    eventually(lambda: queue_stats(server.url)["active"] == 0)
    assert ask(server.url, chat(QUESTION, temperature=0)).json()["choices"][0]["message"]["content"] == ANSWER
