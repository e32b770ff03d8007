"""A chat request, translated: what a client sends reaches the engine."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    ChoiceGrammar,
    GenerationRequest,
    ImagePart,
    JsonObjectGrammar,
    JsonSchemaGrammar,
    SamplingParams,
    TextPart,
    Tool,
    ToolChoice,
)
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.chat.functions import has_functions
from server.api.chat.request import to_generation_request
from server.cache_scope import cache_salt
from server.media.attachments import Source
from tests.unit.server.api.chat.asked import noted, prompt, read, refused, translate

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
WEATHER = {"name": "get_weather", "description": "Weather.", "parameters": SCHEMA}
CLOCK = {"name": "get_time", "strict": True}
TOOLS = [{"type": "function", "function": WEATHER}, {"type": "function", "function": CLOCK}]
FUNCTIONS = [Tool("get_weather", "Weather.", SCHEMA), Tool("get_time", strict=True)]
JSON = {"type": "json_object"}


def test_a_plain_request_leaves_everything_open() -> None:
    assert translate() == GenerationRequest(id="req_1", prompt=ChatPrompt([ChatMessage("user", "Hi")]))


def test_every_field_of_a_request_reaches_the_engine() -> None:
    asked = translate(
        messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{"}],
        temperature=0.5,
        seed=7,
        max_completion_tokens=9,
        stop=["END", "", "END"],
        timeout=2.5,
        n=3,
        logprobs=True,
        top_logprobs=2,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
        max_reasoning_tokens=4,
        stream=True,
        cache_salt="mine",
        reasoning_effort="low",
        chat_template_kwargs={"x": 1, "enable_thinking": "false", "continue_final_message": True},
        tools=TOOLS,
        tool_choice="none",
        parallel_tool_calls=False,
    )
    assert asked == GenerationRequest(
        id="req_1",
        prompt=ChatPrompt(
            [ChatMessage("user", "Hi"), ChatMessage("assistant", "{")],
            template_kwargs={"reasoning_effort": "low", "enable_thinking": False, "x": 1},
            tools=FUNCTIONS,
            tool_choice=ToolChoice("none", parallel=False),
            continue_final=True,
        ),
        sampling=SamplingParams(temperature=0.5, seed=7),
        max_tokens=9,
        stop=["END"],
        timeout=2.5,
        n=3,
        top_logprobs=2,
        grammar=JsonSchemaGrammar(SCHEMA, strict=True),
        grammar_param="response_format.json_schema.schema",
        max_reasoning_tokens=4,
        stream=True,
        cache_salt=cache_salt("mine"),
    )


def test_the_model_reads_what_the_server_saw_in_a_picture() -> None:
    url = "https://example.org/sea.png"
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Why?"}]
    picture = ImagePart.of(1, 1, b"abc")
    asked = to_generation_request(
        read(messages=[{"role": "user", "content": parts}]), {Source("url", url): [picture]}, id="req_1"
    )
    assert isinstance(asked.prompt, ChatPrompt)
    assert asked.prompt.messages == [ChatMessage("user", [picture, TextPart("Why?")])]


@pytest.mark.parametrize("n", [None, 1, 4])
def test_a_prompt_that_is_computed_ahead_has_one_answer(n: int | None) -> None:
    asked = translate(prefill_only=True, n=n)
    assert (asked.prefill_only, asked.n) == (True, 1)
    asked = translate(prefill_only=False, n=n)
    assert (asked.prefill_only, asked.n) == (False, n or 1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 5}, 5),
        ({"max_tokens": -1}, None),
        ({"max_completion_tokens": -1}, None),
        ({}, None),
    ],
)
def test_the_limit_has_two_names(fields: dict[str, Any], expected: int | None) -> None:
    assert translate(**fields).max_tokens == expected


def test_limits_that_differ_are_refused() -> None:
    error = refused(max_tokens=5, max_completion_tokens=6)
    message = "max_tokens is 5 and max_completion_tokens is 6; they mean the same: send one of them"
    assert (error.message, error.param) == (message, "max_completion_tokens")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 0}, 0),
        ({"logprobs": True, "top_logprobs": 3}, 3),
        ({"logprobs": False}, None),
        ({"top_logprobs": 0}, None),
    ],
)
def test_log_probabilities_come_where_they_are_requested(fields: dict[str, Any], expected: int | None) -> None:
    assert translate(**fields).top_logprobs == expected


@pytest.mark.parametrize("logprobs", [None, False])
def test_likeliest_tokens_without_log_probabilities_are_refused(logprobs: bool | None) -> None:
    error = refused(logprobs=logprobs, top_logprobs=3)
    assert (error.message, error.param) == ("top_logprobs is only allowed when logprobs is true", "top_logprobs")


@pytest.mark.parametrize(
    ("fields", "grammar", "param"),
    [
        ({}, None, "response_format"),
        ({"response_format": {"type": "text"}}, None, "response_format"),
        ({"response_format": JSON}, JsonObjectGrammar(), "response_format"),
        ({"guided_choice": ["a", "b"]}, ChoiceGrammar(["a", "b"]), "guided_choice"),
        ({"json_schema": SCHEMA}, JsonSchemaGrammar(SCHEMA, strict=False), "json_schema"),
        ({"guided_choice": ["a"], "tools": TOOLS}, ChoiceGrammar(["a"]), "guided_choice"),
        ({"guided_choice": ["a"], "tools": TOOLS, "tool_choice": "none"}, ChoiceGrammar(["a"]), "guided_choice"),
        ({"guided_choice": ["a"], "tools": TOOLS, "tool_choice": "required"}, None, "response_format"),
        ({"response_format": JSON, "functions": [WEATHER]}, JsonObjectGrammar(), "response_format"),
        ({"guided_regex": "a", "functions": [WEATHER], "function_call": WEATHER}, None, "response_format"),
    ],
)
def test_the_form_of_the_answer_and_its_path(fields: dict[str, Any], grammar: Any, param: str) -> None:
    asked = translate(**fields)
    assert (asked.grammar, asked.grammar_param) == (grammar, param)


@pytest.mark.parametrize(
    ("fields", "kind", "message", "param"),
    [
        (
            {"response_format": JSON, "guided_regex": "a", "tools": TOOLS, "tool_choice": "required"},
            InvalidRequest,
            "guided_regex: response_format already sets the form of the answer",
            "guided_regex",
        ),
        (
            {"chat_template_kwargs": {"messages": []}},
            UnsupportedParameter,
            "chat_template_kwargs.messages is set by the server",
            "chat_template_kwargs.messages",
        ),
        (
            {"chat_template_kwargs": {"continue_final_message": True}},
            InvalidRequest,
            "chat_template_kwargs.continue_final_message: the last message must be the assistant's, without calls",
            "chat_template_kwargs.continue_final_message",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    fields: dict[str, Any], kind: type[InvalidRequest], message: str, param: str
) -> None:
    error = refused(**fields)
    assert (type(error), error.message, error.param) == (kind, message, param)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, []),
        ({"store": True, "metadata": {"a": "b"}}, ["store", "metadata"]),
        ({"stream_options": {"include_usage": True}}, ["stream_options"]),
        ({"stream": True, "stream_options": {"include_usage": True}}, []),
        ({"tools": [{"type": "web_search"}, TOOLS[0]]}, ["tools[0].web_search"]),
        ({"reasoning": {"exclude": True}}, ["reasoning.exclude"]),
    ],
)
def test_what_has_no_effect_is_named(fields: dict[str, Any], names: list[str]) -> None:
    assert noted(**fields) == names


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice(parallel=False)),
        ("auto", ToolChoice(parallel=False)),
        ("none", ToolChoice("none", parallel=False)),
        ({"name": "get_time"}, ToolChoice("required", "get_time", parallel=False)),
    ],
)
@pytest.mark.parametrize("parallel", [None, True])
def test_the_older_form_of_tools_makes_one_call(choice: Any, expected: ToolChoice, parallel: bool | None) -> None:
    fields = {"functions": [WEATHER, CLOCK], "function_call": choice, "parallel_tool_calls": parallel}
    asked = prompt(**fields)
    assert (asked.tools, asked.tool_choice) == (FUNCTIONS, expected)
    assert has_functions(read(**fields))


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, ToolChoice()),
        ({"tool_choice": "required"}, ToolChoice("required")),
        ({"tool_choice": {"type": "function", "function": {"name": "get_time"}}}, ToolChoice("required", "get_time")),
        ({"function_call": "none"}, ToolChoice("none")),
        ({"function_call": {"name": "get_time"}}, ToolChoice("required", "get_time")),
    ],
)
@pytest.mark.parametrize("functions", [None, []])
def test_either_form_of_the_choice_works_with_tools(
    choice: dict[str, Any], expected: ToolChoice, parallel: bool, functions: Any
) -> None:
    fields = {"tools": TOOLS, "functions": functions, "parallel_tool_calls": parallel, **choice}
    asked = prompt(**fields)
    assert asked.tools == FUNCTIONS
    assert asked.tool_choice == ToolChoice(expected.mode, expected.name, parallel)
    assert not has_functions(read(**fields))


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        (
            {"functions": [WEATHER], "tools": TOOLS},
            "functions",
            "functions: tools has the functions already; send one of them",
        ),
        (
            {"functions": [WEATHER], "tool_choice": "auto", "function_call": "auto"},
            "function_call",
            "function_call: tool_choice makes the choice already; send one of them",
        ),
        (
            {"tools": TOOLS, "tool_choice": "auto", "function_call": "auto"},
            "function_call",
            "function_call: tool_choice makes the choice already; send one of them",
        ),
        (
            {"functions": [WEATHER, {**WEATHER, "description": "Other."}]},
            "functions[1].name",
            "functions[1].name: another function has the same name",
        ),
        (
            {"functions": [WEATHER], "function_call": {"name": "f"}},
            "function_call.name",
            "function_call.name: there is no function of this name",
        ),
        (
            {"tools": TOOLS, "function_call": {"name": "f"}},
            "function_call.name",
            "function_call.name: there is no function of this name",
        ),
        (
            {"functions": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            "tool_choice.function.name",
            "tool_choice.function.name: there is no function of this name",
        ),
        (
            {"functions": [WEATHER], "tool_choice": {"type": "custom"}},
            "tool_choice.type",
            "tool_choice.type: custom tools are not supported by this server; use functions",
        ),
        (
            {"tools": [TOOLS[0], {"type": "function", "function": {"name": "get_weather"}}], "function_call": "auto"},
            "tools[1].function.name",
            "tools[1].function.name: another function has the same name",
        ),
    ],
)
def test_functions_that_cannot_be_used_are_refused(fields: dict[str, Any], param: str, message: str) -> None:
    error = refused(**fields)
    assert (error.message, error.param) == (message, param)
