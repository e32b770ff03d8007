"""The official Python SDK, and LangChain over it, against the embedded model."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from openai import OpenAI

from tests.compat.python import two_turns
from tests.live.harness import LiveServer

QUESTION = "What is the capital of France?"
STORY = "Tell me a story about a dog and a cat."


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as client:
        yield client


def test_a_question_is_answered(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=32
    )

    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_gives_the_same_answer(client: OpenAI) -> None:
    request = {"model": "any", "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 32}
    whole = client.chat.completions.create(**request)  # type: ignore[call-overload]
    with client.chat.completions.create(**request, stream=True) as stream:  # type: ignore[call-overload]
        chunks = list(stream)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert "Paris" in text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def test_a_stream_comes_in_pieces(client: OpenAI) -> None:
    # The answer takes two seconds: on a busy machine, pieces that are ready at the same time arrive as one.
    messages: Any = [{"role": "user", "content": STORY}]
    with client.chat.completions.create(
        model="any", messages=messages, temperature=0, max_tokens=48, stream=True
    ) as stream:
        pieces = [chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 5


@pytest.mark.parametrize("name", ["chat", "chat, streamed", "responses", "responses, streamed"])
def test_a_conversation_of_two_turns_with_a_tool(server: LiveServer, name: str) -> None:
    two_turns.openai_cases(server.url, "any")[name]()


@pytest.mark.parametrize("name", ["chat, invoke", "chat, stream", "responses, invoke", "responses, stream"])
def test_langchain_holds_a_conversation_of_two_turns_with_a_tool(server: LiveServer, name: str) -> None:
    two_turns.langchain_openai_cases(server.url, "any")[name]()
