"""Items of a conversation as the turns that chat templates read."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.responses.items import (
    FunctionCallOutput,
    FunctionToolCall,
    InputMessage,
    ReasoningItem,
    StoredItem,
)
from contracts.responses.request import CreateResponse
from providers.chat.types import ChatMessage
from providers.errors import ServiceError
from server.api.responses.conversation import input_items, references, to_turns
from server.noted import noting
from server.serialization import converter, encode_contract
from tests.unit.server.api.responses.scripts import BODY
from tests.unit.server.api.responses.turning import assistant, call, items, made, output, thought, turns, user


def test_turns_keep_their_roles_and_texts() -> None:
    assert turns(
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": t} for t in "ab"]},
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "system", "content": ""},
        instructions="Rhyme.",
    ) == [
        ChatMessage(role="system", content="Rhyme."),
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="a\nb"),
        ChatMessage(role="assistant", content="c"),
        ChatMessage(role="assistant", content="No."),
        ChatMessage(role="system", content=""),
    ]


def test_reasoning_text_and_calls_are_one_turn() -> None:
    assert turns(
        user("?"),
        thought("a"),
        thought("b"),
        assistant("c"),
        call("1", '{"x": 1}'),
        call("2", "[not json"),
        output("1", [{"type": "input_text", "text": "one"}]),
        output("2"),
        thought("d"),
        call("3"),
        output("3"),
        assistant("e"),
    ) == [
        ChatMessage(role="user", content="?"),
        ChatMessage(
            role="assistant",
            content="c",
            tool_calls=[made("1", {"x": 1}), made("2", "[not json")],
            reasoning_content="a\nb",
        ),
        ChatMessage(role="tool", content="one", tool_call_id="1"),
        ChatMessage(role="tool", content="1", tool_call_id="2"),
        ChatMessage(role="assistant", tool_calls=[made("3")], reasoning_content="d"),
        ChatMessage(role="tool", content="1", tool_call_id="3"),
        ChatMessage(role="assistant", content="e"),
    ]


def test_consecutive_texts_of_the_assistant_stay_separate() -> None:
    assert [turn.content for turn in turns(assistant("a"), assistant("b"))] == ["a", "b"]


def test_reasoning_without_text_or_call_is_a_turn() -> None:
    assert turns(thought("a"), user("?")) == [
        ChatMessage(role="assistant", content="", reasoning_content="a"),
        ChatMessage(role="user", content="?"),
    ]


def test_a_summary_replaces_missing_reasoning() -> None:
    summary = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "short"}]}
    assert turns(summary, assistant("a"))[0].reasoning_content == "short"


EMPTY = ChatMessage(role="tool", content="", tool_call_id="a")
ONE = ChatMessage(role="tool", content="1", tool_call_id="a")
STRAY = ChatMessage(role="user", content="1")
CALLED = ChatMessage(role="assistant", tool_calls=[made("a")])
AGAIN = ChatMessage(role="user", content="x")


@pytest.mark.parametrize(
    ("given_items", "expected"),
    [
        ([call("a")], [CALLED, EMPTY]),
        ([call("a"), user("x")], [CALLED, EMPTY, AGAIN]),
        ([call("a"), user("x"), output("a")], [CALLED, AGAIN, ONE]),
        ([output("a")], [STRAY]),
        ([output("a"), call("a")], [STRAY, CALLED, EMPTY]),
        ([call("a"), output("a"), output("a")], [CALLED, ONE, STRAY]),
        ([call("a"), output("a"), call("a"), output("a")], [CALLED, ONE, CALLED, ONE]),
    ],
)
def test_a_call_without_an_output_has_an_empty_one_and_an_output_without_a_call_is_the_user_s(
    given_items: list[Any], expected: list[ChatMessage]
) -> None:
    assert turns(*given_items) == expected


def answered(name: str, arguments: Any, text: str, id: str = "c") -> list[ChatMessage]:
    function = {"name": name, "arguments": arguments}
    return [
        ChatMessage(role="assistant", tool_calls=[{"id": id, "type": "function", "function": function}]),
        ChatMessage(role="tool", content=text, tool_call_id=id),
    ]


PATCH = "*** Begin Patch\n*** End Patch"
REPLAYED: list[tuple[str, list[dict[str, Any]], list[ChatMessage]]] = [
    (
        "null members",
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [],
                "content": None,
                "encrypted_content": None,
                "status": None,
            },
            {"type": "reasoning", "summary": None, "content": []},
        ],
        [],
    ),
    ("foreign reasoning", [{"type": "reasoning", "summary": [], "encrypted_content": "gAAAAABo-_x"}], []),
    ("foreign reasoning that is base64", [{"type": "reasoning", "encrypted_content": "gAAAAABoabcd"}], []),
    (
        "null annotations",
        [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": None,
                "phase": "commentary",
                "content": [{"type": "output_text", "text": "Hm.", "annotations": None, "logprobs": None}],
            }
        ],
        [ChatMessage(role="assistant", content="Hm.")],
    ),
    ("no content", [{"role": "assistant", "content": None}], [ChatMessage(role="assistant", content="")]),
    ("no key content", [{"role": "assistant"}], [ChatMessage(role="assistant", content="")]),
    ("no parts", [{"role": "assistant", "content": []}], [ChatMessage(role="assistant", content="")]),
    ("null type", [{"type": None, "role": "user", "content": "x"}], [AGAIN]),
    (
        "arguments that are an object",
        [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {"cmd": "ls"}, "status": None}],
        answered("f", {"cmd": "ls"}, ""),
    ),
    (
        "arguments that were cut off",
        [{"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"cmd": "l', "status": "incomplete"}],
        answered("f", '{"cmd": "l', ""),
    ),
    (
        "null arguments and no ids",
        [
            {"type": "function_call", "call_id": None, "name": "f", "arguments": None},
            {"type": "function_call_output", "call_id": None, "output": None},
        ],
        answered("f", {}, "", id=""),
    ),
    (
        "an output that is an object",
        [call("a"), output("a", {"content": "x"})],
        [CALLED, ChatMessage(role="tool", content='{"content": "x"}', tool_call_id="a")],
    ),
    ("an output without parts", [call("a"), output("a", [])], [CALLED, EMPTY]),
    (
        "a call in a namespace",
        [{**call("a"), "namespace": "mcp__notes"}, output("a")],
        answered("mcp__notes__f", {}, "1", id="a"),
    ),
    (
        "a custom call",
        [
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "apply_patch", "input": PATCH},
            {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "Done"}]},
        ],
        answered("apply_patch", {"input": PATCH}, "Done"),
    ),
    (
        "a local shell",
        [
            {
                "type": "local_shell_call",
                "id": "c",
                "action": {"type": "exec", "command": ["ls"]},
                "status": "completed",
            },
            {"type": "local_shell_call_output", "id": "c", "output": "a.txt"},
        ],
        answered("local_shell", {"type": "exec", "command": ["ls"]}, "a.txt"),
    ),
    (
        "a shell",
        [
            {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a.txt"}]},
        ],
        answered("shell", {"commands": ["ls"]}, '[{"stdout": "a.txt"}]'),
    ),
    (
        "a patch",
        [
            {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
            {"type": "apply_patch_call_output", "call_id": "c", "status": "completed", "output": "Done"},
        ],
        answered("apply_patch", {"type": "delete_file", "path": "a"}, "Done"),
    ),
    (
        "a computer",
        [{"type": "computer_call", "call_id": "c", "action": {"type": "screenshot"}}],
        answered("computer", {"type": "screenshot"}, ""),
    ),
    (
        "a server of MCP",
        [{"type": "mcp_call", "id": "c", "name": "add", "server_label": "s", "arguments": '{"a": 1}', "output": "1"}],
        answered("add", {"a": 1}, "1"),
    ),
    (
        "an interpreter",
        [{"type": "code_interpreter_call", "id": "c", "code": "1", "outputs": None}],
        answered("code_interpreter", "1", ""),
    ),
]
SKIPPED = (
    "compaction",
    "compaction_trigger",
    "file_search_call",
    "ghost_snapshot",
    "image_generation_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_list_tools",
    "telepathy",
    "web_search_call",
)


@pytest.mark.parametrize(
    ("given_items", "expected"), [case[1:] for case in REPLAYED], ids=[f"case-3-{case[0]}" for case in REPLAYED]
)
def test_items_that_clients_replay_are_read(given_items: list[Any], expected: list[ChatMessage]) -> None:
    assert turns(user("x"), *given_items) == [AGAIN, *expected]
    assert turns(*given_items) == (expected or [ChatMessage(role="user", content="")])


@pytest.mark.parametrize("type_", SKIPPED)
def test_items_of_other_types_are_skipped_and_noted(type_: str) -> None:
    with noting() as noted:
        assert turns(user("x"), {"type": type_, "id": "1", "action": {"query": "typo"}}) == [AGAIN]
    assert [*noted.names] == [f"input[].{type_}"]


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]},
            "unsupported_parameter",
            "input[0].content[0].type",
        ),
        (
            {"role": "user", "content": [{"type": "input_text", "text": ""}, {"type": "input_file", "file_id": "1"}]},
            "unsupported_parameter",
            "input[0].content[1].type",
        ),
        (
            {"role": "user", "content": [{"type": "output_text", "text": ""}]},
            "invalid_request_error",
            "input[0].content[0].type",
        ),
        ({"role": "user", "content": []}, "invalid_request_error", "input[0].content"),
        ({"role": "user"}, "invalid_request_error", "input[0].content"),
    ],
)
def test_invalid_content_of_an_item_is_named(item: Any, code: str, param: str) -> None:
    with pytest.raises(ServiceError) as refused:
        items(item)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_every_item_gets_an_id_and_keeps_its_own() -> None:
    given_items = items(user("a"), {**assistant("b"), "id": "msg_mine"}, call("1"), output("1"), thought("c"))
    ids = [item.id for item in given_items]
    assert ids[1] == "msg_mine"
    assert [id.partition("_")[0] for id in ids if id] == ["msg", "msg", "fc", "fco", "rs"]
    assert len(set(ids)) == 5
    assert {item.status for item in given_items} == {"completed"}


def test_a_reference_is_replaced_where_it_stands() -> None:
    request = converter.structure(
        {**BODY, "input": [user("a"), {"type": "item_reference", "id": "msg_b"}, user("c")]}, CreateResponse
    )
    assert references(request.input) == ["msg_b"]
    (referred,) = items({**assistant("b"), "id": "msg_b"})
    found = input_items(request.input, {"msg_b": referred}, response_id="resp_1")
    assert [turn.content for turn in to_turns(found, instructions=None)] == ["a", "b", "c"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ITEMS = st.one_of(
    st.builds(user, TEXTS),
    st.builds(assistant, TEXTS),
    st.builds(thought, TEXTS),
    st.builds(call, st.sampled_from("ab")),
)


@given(st.lists(ITEMS, max_size=8))
def test_items_read_back_from_the_store_are_the_same_conversation(given_items: list[Any]) -> None:
    outputs = [output(item["call_id"]) for item in given_items if item.get("type") == "function_call"]
    unique = {item["call_id"]: item for item in outputs}
    stored = items(*given_items, *unique.values()) if given_items else []
    read = [converter.structure(msgspec.json.decode(encode_contract(item)), StoredItem) for item in stored]  # type: ignore[arg-type]
    assert read == stored
    assert to_turns(read, instructions=None) == to_turns(stored, instructions=None)


def test_every_field_of_an_item_is_read() -> None:
    """The server would silently ignore a field that the translation omits."""
    fields = {class_: {field.name for field in attrs.fields(class_)} for class_ in (InputMessage, FunctionToolCall)}
    assert fields[InputMessage] == {"type", "role", "content", "id", "status", "phase"}
    assert fields[FunctionToolCall] == {"type", "id", "call_id", "name", "arguments", "status", "namespace"}
    assert {field.name for field in attrs.fields(FunctionCallOutput)} == {"type", "id", "call_id", "output", "status"}
    assert {field.name for field in attrs.fields(ReasoningItem)} == {
        "type",
        "id",
        "summary",
        "content",
        "encrypted_content",
        "status",
    }
