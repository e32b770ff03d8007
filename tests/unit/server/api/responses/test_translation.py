"""A request for a response, translated: what a client sends reaches the engine, and the engine's paths the client."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from contracts.responses.request import CreateResponse, TokenCountRequest
from providers.chat.types import (
    Accepted,
    ChatMessage,
    ChatPrompt,
    ChoiceGrammar,
    GenerationEvent,
    GenerationRequest,
    ImagePart,
    JsonObjectGrammar,
    JsonSchemaGrammar,
    SamplingParams,
    TextDelta,
    TextPart,
    ToolChoice,
)
from providers.errors import InvalidRequest
from server.api.responses.conversation import input_items
from server.api.responses.request import modalities, renamed, to_prompt, to_response_generation
from server.api.responses.tools import OfferedTools, offer
from server.cache_scope import cache_salt
from server.media.attachments import Source
from server.serialization import converter
from tests.unit.server.api.responses.asked import counted, prompt, refused, translate
from tests.unit.server.api.responses.scripts import BODY, WEATHER
from tests.unit.server.fakes import FINISHED

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
JSON = {"format": {"type": "json_object"}}


def test_a_plain_request_leaves_everything_open() -> None:
    asked = translate()
    assert asked == GenerationRequest(
        id="req_1", prompt=ChatPrompt([ChatMessage("user", "Hi")]), grammar_param="text.format"
    )


def test_every_field_of_a_request_reaches_the_engine() -> None:
    asked = translate(
        instructions="Be brief.",
        input=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}],
        temperature=0.5,
        seed=7,
        max_output_tokens=9,
        stop=["END", "", "END"],
        timeout=2.5,
        top_logprobs=3,
        text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
        max_reasoning_tokens=4,
        stream=True,
        cache_salt="mine",
        reasoning={"effort": "low"},
        chat_template_kwargs={"x": 1, "enable_thinking": "false"},
        parallel_tool_calls=False,
    )
    turns = [ChatMessage("system", "Be brief."), ChatMessage("user", "Hi"), ChatMessage("assistant", "Yes?")]
    assert asked == GenerationRequest(
        id="req_1",
        prompt=ChatPrompt(
            turns,
            template_kwargs={"reasoning_effort": "low", "enable_thinking": False, "x": 1},
            tool_choice=ToolChoice(parallel=False),
        ),
        sampling=SamplingParams(temperature=0.5, seed=7),
        max_tokens=9,
        stop=["END"],
        timeout=2.5,
        top_logprobs=3,
        grammar=JsonSchemaGrammar(SCHEMA, strict=True),
        grammar_param="text.format.schema",
        max_reasoning_tokens=4,
        stream=True,
        cache_salt=cache_salt("mine"),
    )


def test_a_count_has_the_same_prompt() -> None:
    fields: dict[str, Any] = {
        "instructions": "Be brief.",
        "tools": [WEATHER],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "none"},
        "chat_template_kwargs": {"x": 1},
    }
    assert counted(**fields) == prompt(**fields)
    assert counted(**fields).template_kwargs == {"reasoning_effort": "none", "enable_thinking": False, "x": 1}
    assert counted().template_kwargs == {}


def test_the_model_reads_what_the_server_saw_in_a_picture() -> None:
    url = "https://example.org/sea.png"
    parts = [{"type": "input_image", "image_url": url}, {"type": "input_text", "text": "Why?"}]
    fields = {**BODY, "input": [{"role": "user", "content": parts}]}
    picture, request = ImagePart.of(1, 1, b"abc"), converter.structure(fields, CreateResponse)
    items = input_items(request.input, {}, response_id="resp_1", pictures=True)
    seen = {Source("url", url): [picture]}
    asked = to_response_generation(request, items, offer(None), seen, id="req_1")
    expected = ChatPrompt([ChatMessage("user", [picture, TextPart("Why?")])])
    assert asked.prompt == expected
    assert to_prompt(converter.structure(fields, TokenCountRequest), items, offer(None), seen) == expected


def test_an_effort_of_none_turns_reasoning_off_and_template_arguments_override_it() -> None:
    assert prompt(reasoning={"effort": "none"}).template_kwargs["enable_thinking"] is False
    both = prompt(reasoning={"effort": "high"}, chat_template_kwargs={"enable_thinking": False})
    assert both.template_kwargs == {"reasoning_effort": "high", "enable_thinking": False}


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": {"effort": "low"}},
        {"reasoning_effort": "low"},
        {"reasoning": {"effort": "low"}, "reasoning_effort": "low"},
        {"reasoning": {"effort": "low"}, "reasoning_effort": "auto"},
        {"reasoning": {}, "reasoning_effort": "low"},
        {"reasoning": {"effort": "auto"}, "reasoning_effort": "low"},
    ],
)
def test_both_fields_of_the_effort_work(fields: dict[str, Any]) -> None:
    assert prompt(**fields).template_kwargs == {"reasoning_effort": "low", "enable_thinking": True}


def test_efforts_that_differ_are_refused() -> None:
    error = refused(reasoning={"effort": "low"}, reasoning_effort="high")
    message = "reasoning_effort and reasoning.effort contradict each other; send one of them"
    assert (error.message, error.param) == (message, "reasoning_effort")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_output_tokens": 5}, 5),
        ({"max_completion_tokens": 5}, 5),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": -1}, None),
        ({"max_output_tokens": 5, "max_completion_tokens": 5, "max_tokens": 5}, 5),
    ],
)
def test_the_limit_has_three_names(fields: dict[str, Any], expected: int | None) -> None:
    assert translate(**fields).max_tokens == expected


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"max_output_tokens": 5, "max_tokens": 6}, ("max_tokens", "max_output_tokens")),
        ({"max_output_tokens": 5, "max_completion_tokens": 6}, ("max_completion_tokens", "max_output_tokens")),
        ({"max_completion_tokens": 5, "max_tokens": 6}, ("max_tokens", "max_completion_tokens")),
    ],
)
def test_limits_that_differ_are_refused(fields: dict[str, Any], names: tuple[str, str]) -> None:
    error = refused(**fields)
    message = "{} and {} contradict each other; send one of them".format(*names)
    assert (error.message, error.param) == (message, names[0])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"top_logprobs": 3}, 3),
        ({"top_logprobs": 3, "logprobs": False, "include": []}, 3),
        ({"top_logprobs": 0}, None),
        ({"logprobs": False, "include": ["reasoning.encrypted_content"]}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 1}, 1),
        ({"include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, 2),
    ],
)
def test_log_probabilities_come_where_one_of_three_fields_requests_them(
    fields: dict[str, Any], expected: int | None
) -> None:
    assert translate(**fields).top_logprobs == expected


@pytest.mark.parametrize(
    ("fields", "grammar", "param"),
    [
        ({}, None, "text.format"),
        ({"text": {}}, None, "text.format"),
        ({"text": {"format": {"type": "text"}}}, None, "text.format"),
        ({"text": JSON}, JsonObjectGrammar(), "text.format"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
            JsonSchemaGrammar(SCHEMA, strict=False),
            "text.format.schema",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
            JsonSchemaGrammar(SCHEMA, strict=True),
            "text.format.schema",
        ),
        ({"response_format": {"type": "json_object"}}, JsonObjectGrammar(), "response_format"),
        ({"guided_choice": ["a", "b"]}, ChoiceGrammar(["a", "b"]), "guided_choice"),
        ({"text": JSON, "tools": [WEATHER]}, JsonObjectGrammar(), "text.format"),
        ({"text": JSON, "tools": [WEATHER], "tool_choice": "required"}, None, "text.format"),
        ({"guided_choice": ["a"], "tools": [WEATHER], "tool_choice": "required"}, None, "text.format"),
    ],
)
def test_the_form_of_the_text_and_its_path(fields: dict[str, Any], grammar: Any, param: str) -> None:
    asked = translate(**fields)
    assert (asked.grammar, asked.grammar_param) == (grammar, param)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": JSON, "guided_regex": "a+"}, "guided_regex: text already sets the form of the answer"),
        (
            {"text": JSON, "response_format": {"type": "json_object"}},
            "response_format: text already sets the form of the answer",
        ),
        (
            {"text": JSON, "guided_regex": "a", "tools": [WEATHER], "tool_choice": "required"},
            "guided_regex: text already sets the form of the answer",
        ),
    ],
)
def test_two_forms_are_refused(fields: dict[str, Any], message: str) -> None:
    error = refused(**fields)
    assert (error.message, error.param) == (message, message.partition(":")[0])


def test_a_function_may_have_the_form_of_chats() -> None:
    function = {"name": "get_weather", "parameters": WEATHER["parameters"], "strict": True}
    assert prompt(tools=[{"type": "function", "function": function}]).tools == prompt(tools=[WEATHER]).tools


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"modalities": ["text"]}, ["text"]),
        ({"output_modalities": ["text", "audio"]}, ["text", "audio"]),
        ({"modalities": ["text"], "output_modalities": ["text"]}, ["text"]),
    ],
)
def test_modalities_have_two_names(fields: dict[str, Any], expected: list[str] | None) -> None:
    assert modalities(converter.structure({**BODY, **fields}, CreateResponse)) == expected


def test_modalities_that_differ_are_refused() -> None:
    request = converter.structure({**BODY, "modalities": ["text"], "output_modalities": ["audio"]}, CreateResponse)
    with pytest.raises(InvalidRequest, match=r"^output_modalities and modalities contradict each other") as caught:
        modalities(request)
    assert caught.value.param == "output_modalities"


def offered() -> OfferedTools:
    tools = [{"type": "web_search"}, WEATHER, {"type": "custom", "name": "say"}]
    return offer(converter.structure({**BODY, "tools": tools}, CreateResponse).tools)


PATHS = [
    ("logprobs", "top_logprobs"),
    ("max_completion_tokens", "max_output_tokens"),
    ("max_tokens", "max_output_tokens"),
    ("messages", "input"),
    ("prompt", "input"),
    ("response_format", "text.format"),
    ("text.format.schema", "text.format.schema"),
    ("temperature", "temperature"),
    ("tools", "tools"),
    ("tools[0].function.parameters.properties", "tools[1].parameters.properties"),
    ("tools[1].function.lark", "tools[2].format.definition"),
]
"""The engine's path of a parameter, and the client's."""


async def read(*events: GenerationEvent, error: Exception | None = None) -> list[GenerationEvent]:
    async def run() -> AsyncGenerator[GenerationEvent, None]:
        for event in events:
            yield event
        if error is not None:
            raise error

    tools = offered()
    return [event async for event in renamed(run(), tools, [*tools.functions.values()])]


@pytest.mark.parametrize(("theirs", "ours"), PATHS)
async def test_a_refusal_has_the_client_s_path(theirs: str, ours: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^no$") as caught:
        await read(Accepted(3, 0), error=InvalidRequest("no", param=theirs))
    assert caught.value.param == ours


async def test_a_refusal_without_a_path_stays_as_it_is() -> None:
    with pytest.raises(InvalidRequest, match=r"^no$") as caught:
        await read(error=InvalidRequest("no"))
    assert caught.value.param is None


async def test_what_is_given_up_has_the_client_s_path() -> None:
    theirs, ours = zip(*PATHS, strict=True)
    found = await read(Accepted(3, 1, given_up=theirs), TextDelta("a"), FINISHED)
    assert found == [Accepted(3, 1, given_up=ours), TextDelta("a"), FINISHED]


async def test_events_pass_as_they_are() -> None:
    events = [Accepted(3, 1), TextDelta("a"), FINISHED]
    assert await read(*events) == events


async def test_the_engine_s_events_are_closed_with_the_client_s() -> None:
    closed = False

    async def run() -> AsyncGenerator[GenerationEvent, None]:
        nonlocal closed
        try:
            yield Accepted(3, 0)
            yield TextDelta("a")
        finally:
            closed = True

    events = renamed(run(), offered(), [])
    await anext(events)
    await events.aclose()
    assert closed
