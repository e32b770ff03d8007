"""Turns of the Codex CLI, in the form in which version 0.171 sends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.chat.types import ChatMessage, ChatPrompt, TextDelta, ToolCallDelta
from tests.unit.server.api.responses.scripts import PATH, script, stream_events, types
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

TURNS = Path(__file__).parent / "codex"
NOTED = "client_metadata, tools[7].web_search"


def turn(name: str) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode((TURNS / f"{name}.json").read_bytes())
    return body


async def test_case_1_the_first_turn_of_codex() -> None:
    call = [
        ToolCallDelta(0, id="call_1", name="mcp__notes__add_note"),
        ToolCallDelta(0, '{"text": "hi"}'),
        ToolCallDelta(1, id="call_2", name="apply_patch"),
        ToolCallDelta(1, '{"input": "*** Begin Patch"}'),
        ToolCallDelta(2, id="call_3", name="exec_command"),
        ToolCallDelta(2, '{"cmd": "ls"}'),
    ]
    chat = FakeChat(script=script(TextDelta("Looking."), *call, reason="tool_calls"))
    answer = await ask(make_app(chat), path=PATH, json=turn("first_turn"))

    assert answer.status == 200
    assert sorted(answer.headers["x-ignored-parameters"].split(", ")) == NOTED.split(", ")
    events = stream_events(answer)
    assert (
        types(events)[-12:]
        == [
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "output_item.added",
            "custom_tool_call_input.delta",
            "custom_tool_call_input.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ][-12:]
    )
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [(item.get("namespace"), item.get("name")) for item in done[1:]] == [
        ("mcp__notes", "add_note"),
        (None, "apply_patch"),
        (None, "exec_command"),
    ]
    assert events[-1]["response"]["output"] == done
    prompt = chat.requests[0].prompt
    assert isinstance(prompt, ChatPrompt)
    assert [tool.name for tool in prompt.tools] == [
        "exec_command",
        "write_stdin",
        "update_plan",
        "view_image",
        "apply_patch",
        "multi_agent_v1__spawn_agent",
        "multi_agent_v1__wait_agent",
        "mcp__notes__add_note",
    ]
    assert [message.role for message in prompt.messages] == ["system", "system", "user", "user"]


async def test_case_3_the_third_turn_of_codex() -> None:
    chat = FakeChat()
    answer = await ask(make_app(chat), path=PATH, json=turn("third_turn"))
    assert answer.status == 200
    assert stream_events(answer)[-1]["response"]["status"] == "completed"
    prompt = chat.requests[0].prompt
    assert isinstance(prompt, ChatPrompt)
    assert prompt.messages[4].content == "Looking."
    assert [_short(message) for message in prompt.messages[4:]] == [
        ("assistant", "exec_command"),
        ("tool", "call_1"),
        ("assistant", None),
        ("user", None),
        ("assistant", "apply_patch"),
        ("tool", "call_2"),
        ("assistant", "mcp__notes__add_note"),
        ("tool", "call_3"),
        ("assistant", "exec_command"),
        ("tool", "call_4"),
        ("user", None),
    ]


@pytest.mark.parametrize("place", range(17))
async def test_case_3_each_item_of_a_turn_by_itself(place: int) -> None:
    body = turn("third_turn")
    body["input"] = body["input"][place : place + 1]
    assert (await ask(make_app(), path=PATH, json=body)).status == 200


async def test_what_codex_got_can_be_sent_back() -> None:
    call = [ToolCallDelta(0, id="call_1", name="mcp__notes__add_note"), ToolCallDelta(0, '{"text": "hi"}')]
    chat = FakeChat(script=script(TextDelta("Looking."), *call, reason="tool_calls"))
    app = make_app(chat)
    body = turn("first_turn")
    output = stream_events(await ask(app, path=PATH, json=body))[-1]["response"]["output"]
    body["input"] += [*output, {"type": "function_call_output", "call_id": "call_1", "output": "noted"}]
    assert (await ask(app, path=PATH, json=body)).status == 200
    prompt = chat.requests[1].prompt
    assert isinstance(prompt, ChatPrompt)
    assert [_short(message) for message in prompt.messages[4:]] == [
        ("assistant", "mcp__notes__add_note"),
        ("tool", "call_1"),
    ]


def _short(message: ChatMessage) -> tuple[str, str | None]:
    """The role, and the name of the called function or the id of the answered call."""
    return message.role, message.tool_calls[0]["function"]["name"] if message.tool_calls else message.tool_call_id


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_there_is_no_compaction(method: str) -> None:
    """Codex compacts by itself where the server does not."""
    body = {"json": {"model": "any", "input": "Hi"}} if method == "POST" else {}
    answer = await ask(make_app(), method, f"{PATH}/compact", **body)
    assert (answer.status, answer.error["type"]) == (404, "invalid_request_error")
