"""The official Anthropic SDK against the embedded model, over `/v1/messages`."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.live.harness import LiveServer

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
STORY: Any = [{"role": "user", "content": "Tell me a story about a dog and a cat."}]
GREEDY = {"temperature": 0}
"""Passed as `extra_body`: the SDK's methods have no such argument, and clients of other SDKs send it."""
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city now.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Generator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="unused", max_retries=0) as client:
        yield client


def test_a_message_is_answered(client: Anthropic) -> None:
    message = client.messages.create(model="claude", max_tokens=32, messages=QUESTION, extra_body=GREEDY)

    assert "Paris" in message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 0
    assert message.usage.output_tokens > 0


def test_a_stream_gives_the_same_message(client: Anthropic) -> None:
    request: Any = {"model": "claude", "max_tokens": 32, "messages": QUESTION, "extra_body": GREEDY}
    whole = client.messages.create(**request)
    with client.messages.stream(**request) as stream:
        pieces = list(stream.text_stream)
        streamed = stream.get_final_message()

    assert "".join(pieces) == streamed.content[0].text == whole.content[0].text
    assert streamed.stop_reason == "end_turn"


def test_a_stream_comes_in_pieces(client: Anthropic) -> None:
    # The answer takes two seconds: on a busy machine, pieces that are ready at the same time arrive as one.
    with client.messages.stream(model="claude", max_tokens=48, messages=STORY, extra_body=GREEDY) as stream:
        pieces = list(stream.text_stream)
    assert len(pieces) > 3


@pytest.mark.parametrize("streamed", [False, True])
def test_a_conversation_of_two_turns_with_a_tool(client: Anthropic, streamed: bool) -> None:
    request: Any = {
        "model": "claude",
        "max_tokens": 64,
        "extra_body": GREEDY,
        "system": [{"type": "text", "text": "You help travellers.", "cache_control": {"type": "ephemeral"}}],
        "tools": [WEATHER],
    }
    messages: Any = [{"role": "user", "content": "What is the weather in Paris?"}]

    def ask(**more: Any) -> anthropic.types.Message:
        if not streamed:
            return client.messages.create(**request, messages=messages, **more)
        with client.messages.stream(**request, messages=messages, **more) as stream:
            return stream.get_final_message()

    called = ask(tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True})
    assert called.stop_reason == "tool_use"
    (call,) = (block for block in called.content if block.type == "tool_use")
    assert call.name == "get_weather"
    assert call.input["city"] in ("Paris", "Oslo")

    messages.append({"role": "assistant", "content": called.content})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Rain, 12 degrees."}]}
    messages.append({"role": "user", "content": [result]})
    answered = ask(tool_choice={"type": "none"})
    assert answered.content[0].text
    assert answered.stop_reason in ("end_turn", "max_tokens")


def test_tokens_are_counted_with_the_tools(client: Anthropic) -> None:
    bare = client.messages.count_tokens(model="claude", messages=QUESTION)
    equipped = client.messages.count_tokens(model="claude", messages=QUESTION, tools=[WEATHER])
    assert 0 < bare.input_tokens < equipped.input_tokens


def test_an_error_becomes_the_sdk_s_exception(client: Anthropic) -> None:
    image: Any = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(model="claude", max_tokens=8, messages=[{"role": "user", "content": [image]}])
    assert refused.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    assert refused.value.request_id
