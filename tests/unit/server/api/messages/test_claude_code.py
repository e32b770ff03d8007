"""Turns of Claude Code, in the form in which version 2.1.332 sends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from providers.chat.types import ChatPrompt, ReasoningDelta, TextDelta, ToolCallDelta
from tests.unit.server.api.responses.scripts import script
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import Exchange, ask, make_app

PATH = "/v1/messages?beta=true"
TURNS = Path(__file__).parent / "claude_code"
TOOLS = ["Agent", "Bash", "Edit", "Read", "ToolSearch", "DeferredToolPlaceholder", "Write"]
NOTED = {
    "context_management",
    "messages[].content[].cache_control",
    "metadata",
    "system[].cache_control",
    "thinking.display",
    "tools[].defer_loading",
}
CALL = (
    ToolCallDelta(0, id="call_1", name="Read"),
    ToolCallDelta(0, '{"file_path": '),
    ToolCallDelta(0, '"/home/user/project/notes.txt"}'),
)

_SDK_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def turn(name: str) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode((TURNS / f"{name}.json").read_bytes())
    return body


def events(exchange: Exchange) -> list[Any]:
    """The events as the SDK's types read them, strictly. `ping` is in no type of the SDK, which skips it."""
    read = []
    for block in exchange.body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        if event["type"] != "ping":
            read.append(_SDK_EVENT.validate_json(msgspec.json.encode(event), strict=True))
    return read


async def test_the_first_turn_is_answered_by_a_call() -> None:
    chat = FakeChat(script=script(ReasoningDelta("A file."), TextDelta("Reading."), *CALL, reason="tool_calls"))
    answer = await ask(make_app(chat), path=PATH, json=turn("first_turn"))

    assert answer.status == 200
    assert {*answer.headers["x-ignored-parameters"].split(", ")} == NOTED
    read = events(answer)
    assert [event.type for event in read] == [
        "message_start",
        *("content_block_start", *["content_block_delta"] * 2, "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("content_block_start", *["content_block_delta"] * 2, "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    started = [event.content_block for event in read if event.type == "content_block_start"]
    assert [block.type for block in started] == ["thinking", "text", "tool_use"]
    assert (started[2].id, started[2].name, started[2].input) == ("call_1", "Read", {})
    deltas = [event.delta for event in read if event.type == "content_block_delta"]
    arguments = "".join(delta.partial_json for delta in deltas if delta.type == "input_json_delta")
    assert arguments == '{"file_path": "/home/user/project/notes.txt"}'
    assert read[-2].delta.stop_reason == "tool_use"
    assert read[-2].usage.output_tokens == 2


async def test_the_first_turn_reaches_the_model() -> None:
    chat = FakeChat()
    assert (await ask(make_app(chat), path=PATH, json=turn("first_turn"))).status == 200

    prompt = chat.requests[0].prompt
    assert isinstance(prompt, ChatPrompt)
    assert [tool.name for tool in prompt.tools] == TOOLS
    assert [message.role for message in prompt.messages] == ["system", "user", "system"]
    assert prompt.template_kwargs["enable_thinking"] is True
    assert chat.requests[0].max_tokens == 32000


async def test_the_turn_with_the_result_is_answered_by_text() -> None:
    chat = FakeChat(script=script(TextDelta("The word "), TextDelta("is heron.")))
    answer = await ask(make_app(chat), path=PATH, json=turn("tool_result_turn"))

    assert answer.status == 200
    assert {*answer.headers["x-ignored-parameters"].split(", ")} == NOTED
    read = events(answer)
    assert [event.type for event in read] == [
        "message_start",
        *("content_block_start", *["content_block_delta"] * 2, "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    assert "".join(event.delta.text for event in read[2:4]) == "The word is heron."
    assert read[-2].delta.stop_reason == "end_turn"
    prompt = chat.requests[0].prompt
    assert isinstance(prompt, ChatPrompt)
    assert [message.role for message in prompt.messages] == ["system", "user", "system", "assistant", "tool"]
    call, result = prompt.messages[-2:]
    assert call.tool_calls
    assert call.tool_calls[0]["function"]["name"] == result.name == "Read"
    assert result.content == "1\tThe word is heron.\n2\t"


async def test_what_claude_code_got_can_be_sent_back() -> None:
    chat = FakeChat(script=script(ReasoningDelta("A file."), *CALL, reason="tool_calls"))
    app = make_app(chat)
    answer = await ask(app, path=PATH, json={**turn("first_turn"), "stream": False})
    message = Message.model_validate_json(answer.body, strict=True)

    body = turn("tool_result_turn")
    (place,) = (at for at, each in enumerate(body["messages"]) if each["role"] == "assistant")
    body["messages"][place]["content"] = [block.model_dump(exclude_none=True) for block in message.content]
    assert (await ask(app, path=PATH, json=body)).status == 200
    prompt = chat.requests[1].prompt
    assert isinstance(prompt, ChatPrompt)
    assert prompt.messages[place + 1].reasoning_content == "A file."
    assert prompt.messages[place + 2].tool_call_id == "call_1"
