"""Anthropic's Messages API: what a client sends reaches the model."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    GenerationRequest,
    SamplingParams,
)
from providers.errors import InvalidRequest, UnsupportedParameter
from server.cache_scope import cache_salt
from tests.unit.server.api.messages.asking import BODY, READ, noted, prompt, refused, returned, translate

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "title": "Sea", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}}
NUMBER = {"type": "document", "source": {"type": "text", "data": 5}}
SEA = {
    "type": "document",
    "title": "Sea",
    "source": {"type": "text", "media_type": "text/plain", "data": "The sea is salt."},
}
FOUND = {
    "type": "search_result",
    "title": "Sea",
    "source": "https://sea.example",
    "content": [{"type": "text", "text": "Salt."}, {"type": "text", "text": "Deep."}],
}


def test_sampling_and_bounds_reach_the_engine() -> None:
    request = translate(temperature=0.5, top_p=0.9, top_k=40, stop_sequences=["END", "", "END"])
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.top_k) == (0.5, 0.9, 40)
    assert request.stop == ["END"]
    assert request.max_tokens == 64


@pytest.mark.parametrize(
    ("thinking", "enabled", "budget"),
    [
        (None, False, None),
        ({"type": "disabled"}, False, None),
        ({"type": "adaptive"}, True, None),
        ({"type": "enabled", "budget_tokens": 2048}, True, 2048),
    ],
)
def test_thinking_is_off_by_default(thinking: Any, enabled: bool, budget: int | None) -> None:
    request = translate(thinking=thinking)
    assert isinstance(request.prompt, ChatPrompt)
    assert request.prompt.template_kwargs["enable_thinking"] is enabled
    assert request.max_reasoning_tokens == budget


def test_a_conversation_of_an_agent_becomes_turns_of_a_template() -> None:
    asked = prompt(
        system=[{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
        tools=[READ],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Read a.txt"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "A file.", "signature": ""},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "Reading."},
                    {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a.txt"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "hello"}]},
                    {"type": "tool_result", "tool_use_id": "toolu_2", "content": "gone", "is_error": True},
                    {"type": "tool_result", "tool_use_id": "toolu_3"},
                    {"type": "text", "text": "Now summarise."},
                ],
            },
            {"role": "system", "content": "Be brief."},
        ],
    )

    call = {"id": "toolu_1", "type": "function", "function": {"name": "Read", "arguments": {"path": "a.txt"}}}
    assert asked.messages == [
        ChatMessage("system", "You are an agent."),
        ChatMessage("user", "Read a.txt"),
        ChatMessage("assistant", "Reading.", tool_calls=[call], reasoning_content="A file."),
        ChatMessage("tool", "hello", name="Read", tool_call_id="toolu_1"),
        ChatMessage("tool", "Error: gone", tool_call_id="toolu_2"),
        ChatMessage("tool", "", tool_call_id="toolu_3"),
        ChatMessage("user", "Now summarise."),
        ChatMessage("system", "Be brief."),
    ]


def test_documents_of_text_are_read() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "The sea is salt."}
    asked = prompt(messages=[{"role": "user", "content": [{"type": "document", "title": "Sea", "source": source}]}])
    assert asked.messages == [ChatMessage("user", "Sea\nThe sea is salt.")]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"type": "content", "content": "The sea is salt."}, "The sea is salt."),
        (
            {"type": "content", "content": [{"type": "text", "text": "The sea"}, {"text": "is salt."}]},
            "The sea\nis salt.",
        ),
        ({"type": "content", "content": [{"type": "image"}, "stray", {"type": "text", "text": "end"}]}, "\nend"),
        ({"type": "content", "content": []}, ""),
    ],
)
def test_documents_of_parts_are_read(source: dict[str, Any], text: str) -> None:
    document = {"type": "document", "title": "Sea", "context": "A book", "source": source}
    asked = prompt(messages=[{"role": "user", "content": [document]}])
    assert asked.messages == [ChatMessage("user", f"Sea\nA book\n{text}")]


@pytest.mark.parametrize(
    ("given", "expected"), [(None, {}), ("", {}), ("null", {}), ('{"a": 1}', {"a": 1}), ({"a": 1}, {"a": 1})]
)
def test_the_input_of_a_replayed_call_may_be_missing_or_text(given: Any, expected: dict[str, Any]) -> None:
    used = {"type": "tool_use", "id": "t1", "name": "Read", "input": given}
    asked = prompt(messages=[*BODY["messages"], {"role": "assistant", "content": [used]}])
    (call,) = asked.messages[-1].tool_calls or ()
    assert call["function"]["arguments"] == expected


def test_a_conversation_of_later_apis_is_read() -> None:
    asked = prompt(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "telepathy", "thought": {}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": None}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "telepathy"}]}]},
        ],
        tools=[READ, READ, {"type": "mcp_toolset", "mcp_server_name": "x"}],
    )
    assert asked.messages == [
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "a"),
        ChatMessage("assistant", "b"),
        ChatMessage("tool", "", tool_call_id=""),
    ]
    assert [tool.name for tool in asked.tools] == ["Read"]


@pytest.mark.parametrize(
    ("fields", "kwargs", "budget"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, {"enable_thinking": True}, 0),
        ({"thinking": {"type": "auto", "budget_tokens": -1}}, {"enable_thinking": True}, None),
        ({"output_config": {"effort": "minimal"}}, {"enable_thinking": False, "reasoning_effort": "minimal"}, None),
        ({"output_config": {"effort": "auto"}}, {"enable_thinking": False}, None),
    ],
)
def test_reasoning_as_other_apis_spell_it(fields: dict[str, Any], kwargs: dict[str, Any], budget: int | None) -> None:
    request = translate(**fields)
    assert isinstance(request.prompt, ChatPrompt)
    assert (request.prompt.template_kwargs, request.max_reasoning_tokens) == (kwargs, budget)


def test_extensions_of_the_other_endpoints_work_here_too() -> None:
    request = translate(seed=7, min_p=0.1, repetition_penalty=1.1, timeout=5, stop="END", max_tokens=-1)
    sampling = request.sampling
    assert (sampling.seed, sampling.min_p, sampling.repetition_penalty, request.timeout) == (7, 0.1, 1.1, 5)
    assert (request.stop, request.max_tokens) == (["END"], None)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"role": "assistant", "content": "{"}, True),
        ({"role": "assistant", "content": [{"type": "text", "text": "{"}]}, True),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {}}]}, False),
        ({"role": "user", "content": "Go on"}, False),
    ],
)
def test_a_last_turn_of_the_assistant_is_continued(last: dict[str, Any], expected: bool) -> None:
    asked = prompt(messages=[*BODY["messages"], last])
    assert asked.continue_final is expected


@pytest.mark.parametrize(
    ("role", "block", "where"),
    [
        ("assistant", {"type": "tool_result", "tool_use_id": "t"}, "the assistant"),
        ("assistant", IMAGE, "the assistant"),
        ("user", {"type": "tool_use", "id": "t", "name": "Read", "input": {}}, "the user"),
        ("user", {"type": "thinking", "thinking": "Hm"}, "the user"),
        ("user", {"type": "redacted_thinking", "data": "x"}, "the user"),
        ("system", {"type": "thinking", "thinking": "Hm"}, "the system"),
        ("developer", {"type": "thinking", "thinking": "Hm"}, "the system"),
    ],
)
def test_content_that_a_turn_cannot_have_is_refused_by_its_path(role: str, block: dict[str, Any], where: str) -> None:
    content = [{"type": "text", "text": "Hi"}, block]
    error = refused(messages=[*BODY["messages"], {"role": role, "content": content}])
    assert type(error) is InvalidRequest
    message = f"a turn of {where} has no content of type {block['type']!r}"
    assert error.message == f"messages[1].content[1].type: {message}"
    assert error.param == "messages[1].content[1].type"


@pytest.mark.parametrize("block", [IMAGE, PDF, NUMBER, {"type": "document", "source": {"type": "text"}}])
def test_a_file_for_a_model_that_reads_text_is_refused_by_its_path(block: dict[str, Any]) -> None:
    error = refused(messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}, block]}])
    assert type(error) is UnsupportedParameter
    said = f"content of type {block['type']!r} is not supported by this model; send text"
    assert (error.message, error.param) == (f"messages[0].content[1]: {said}", "messages[0].content[1].type")


@pytest.mark.parametrize(
    ("content", "text", "names"),
    [
        (
            [{"type": "text", "text": "Here:"}, IMAGE, PDF],
            "Here:\n[image]\nSea\n[file]",
            [f"messages[].content[].content[].{name}" for name in ("image", "document")],
        ),
        ([{**PDF, "context": "A book"}], "Sea\nA book\n[file]", ["messages[].content[].content[].document"]),
        ([{**PDF, "title": None}], "[file]", ["messages[].content[].content[].document"]),
        ([NUMBER], "[file]", ["messages[].content[].content[].document"]),
        ([{"type": "tool_reference", "tool_name": name} for name in ("Fetch", "Find")], "Fetch\nFind", []),
        ([SEA], "Sea\nThe sea is salt.", []),
        ([FOUND], "Sea\nhttps://sea.example\nSalt.\nDeep.", []),
        ([{"type": "telepathy"}, {"type": "text", "text": "a"}], "a", ["messages[].content[].telepathy"]),
        ([], "", []),
    ],
)
def test_of_a_tool_s_result_the_model_reads_what_it_can(
    content: list[dict[str, Any]], text: str, names: list[str]
) -> None:
    messages = returned(*content)
    assert prompt(messages=messages).messages[-1] == ChatMessage("tool", text, name="Read", tool_call_id="t1")
    assert noted(messages=messages) == names


def test_a_failed_tool_s_result_is_marked() -> None:
    messages = returned({"type": "text", "text": "No such"}, {"type": "text", "text": "file"})
    messages[-1]["content"][0]["is_error"] = True
    assert prompt(messages=messages).messages[-1].content == "Error: No such\nfile"


def test_a_passage_that_the_client_found_is_read() -> None:
    asked = prompt(messages=[{"role": "user", "content": [FOUND, {"type": "text", "text": "Is it?"}]}])
    assert asked.messages == [ChatMessage("user", "Sea\nhttps://sea.example\nSalt.\nDeep.\nIs it?")]


@pytest.mark.parametrize("role", ["user", "system"])
def test_texts_around_a_tool_s_result_are_turns_of_their_own(role: str) -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "hello"}
    texts = [{"type": "text", "text": text} for text in "abc"]
    asked = prompt(messages=[{"role": role, "content": [*texts[:2], result, texts[2]]}])
    assert asked.messages == [
        ChatMessage(role, "a\nb"),
        ChatMessage("tool", "hello", tool_call_id="t1"),
        ChatMessage(role, "c"),
    ]


def test_a_turn_without_content_stays_a_turn() -> None:
    other = {"type": "server_tool_use", "id": "s", "name": "web_search"}
    turns = [{"role": "user", "content": []}, {"role": "assistant", "content": []}, {"role": "user", "content": ""}]
    asked = prompt(messages=[*turns, {"role": "user", "content": [other]}])
    assert asked.messages == [ChatMessage("user", ""), ChatMessage("assistant", ""), ChatMessage("user", "")]
    assert prompt(messages=[{"role": "user", "content": [other]}]).messages == []


def test_every_part_of_the_assistant_s_turn_is_kept() -> None:
    calls = [{"type": "tool_use", "id": f"t{place}", "name": "Read", "input": {"path": place}} for place in "ab"]
    thoughts = [{"type": "thinking", "thinking": text} for text in ("Hm.", "", "So.")]
    other = {"type": "server_tool_use", "id": "s", "name": "web_search"}
    texts = [{"type": "text", "text": text} for text in ("One", "two")]
    asked = prompt(messages=[{"role": "assistant", "content": [*thoughts, other, *texts, *calls]}])
    made = [
        {"id": f"t{place}", "type": "function", "function": {"name": "Read", "arguments": {"path": place}}}
        for place in "ab"
    ]
    assert asked.messages == [ChatMessage("assistant", "One\ntwo", tool_calls=made, reasoning_content="Hm.\nSo.")]
    assert prompt(messages=[{"role": "assistant", "content": calls}]).messages[0].content is None
    assert noted(messages=[{"role": "assistant", "content": [other]}]) == ["messages[].content[].server_tool_use"]


def test_results_know_the_names_of_all_earlier_calls() -> None:
    def turn(role: str, *content: dict[str, Any]) -> dict[str, Any]:
        return {"role": role, "content": [*content]}

    used = [{"type": "tool_use", "id": f"t{name}", "name": name, "input": {}} for name in "AB"]
    results = [{"type": "tool_result", "tool_use_id": f"t{name}", "content": name} for name in "AB"]
    conversation = [turn("assistant", used[0]), turn("user", results[0]), turn("assistant", used[1])]
    asked = prompt(messages=[*conversation, turn("user", *results)])
    assert [(each.name, each.tool_call_id) for each in asked.messages if each.role == "tool"] == [
        ("A", "tA"),
        ("A", "tA"),
        ("B", "tB"),
    ]


@pytest.mark.parametrize(
    ("system", "text"),
    [
        ("Be brief.", "Be brief."),
        ([{"type": "text", "text": "Be brief."}, {"text": "Be kind."}], "Be brief.\n\nBe kind."),
        ("", None),
        ([], None),
        (None, None),
    ],
)
def test_the_system_s_text_is_the_first_turn(system: Any, text: str | None) -> None:
    turns = [ChatMessage("user", "Hi")]
    assert prompt(system=system).messages == ([ChatMessage("system", text)] if text else []) + turns


def test_every_field_of_a_request_reaches_the_engine() -> None:
    assert translate() == GenerationRequest(
        id="req_1",
        prompt=ChatPrompt([ChatMessage("user", "Hi")], template_kwargs={"enable_thinking": False}),
        max_tokens=64,
        grammar_param="output_format.schema",
    )
    assert translate(
        temperature=0.5,
        stop_sequences=["END", None, "FIN"],
        stop=["FIN", "STOP"],
        timeout=2.5,
        stream=True,
        cache_salt="mine",
        thinking={"type": "enabled", "budget_tokens": 7},
    ) == GenerationRequest(
        id="req_1",
        prompt=ChatPrompt([ChatMessage("user", "Hi")], template_kwargs={"enable_thinking": True}),
        sampling=SamplingParams(temperature=0.5),
        max_tokens=64,
        stop=["END", "FIN", "STOP"],
        timeout=2.5,
        grammar_param="output_format.schema",
        max_reasoning_tokens=7,
        stream=True,
        cache_salt=cache_salt("mine"),
    )


def test_what_has_no_effect_is_named() -> None:
    assert noted(metadata={"user_id": "u"}, tools=[{**READ, "cache_control": {}}]) == [
        "metadata",
        "tools[].cache_control",
    ]
    assert noted() == []
