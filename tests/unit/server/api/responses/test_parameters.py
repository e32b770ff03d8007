"""Every parameter of a response is honoured, noted or refused, as its contract states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from litestar import Litestar
from openai.types.responses import response_create_params

from contracts.parameters import parameters
from contracts.responses.request import CreateResponse
from providers.chat.types import (
    RESERVED_TEMPLATE_KWARGS,
    ChatPrompt,
    ChoiceGrammar,
    JsonObjectGrammar,
    JsonSchemaGrammar,
    LarkGrammar,
    RegexGrammar,
    SamplingParams,
    Tool,
    ToolChoice,
)
from server.cache_scope import cache_salt
from tests.unit.server.api.responses.asked import prompt, translate
from tests.unit.server.api.responses.scripts import BODY, PATH, WEATHER, stream_events
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app
from tests.unit.server.parameters import with_status

DOCUMENT = Path(__file__).parents[5] / "docs" / "responses.md"
FIELDS = [field.name for field in attrs.fields(CreateResponse)]

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
SAMPLING: dict[str, tuple[Any, SamplingParams]] = {
    "temperature": (1, SamplingParams(temperature=1.0)),
    "top_p": (0.5, SamplingParams(top_p=0.5)),
    "top_k": (5, SamplingParams(top_k=5)),
    "min_p": (0.5, SamplingParams(min_p=0.5)),
    "xtc_probability": (0.5, SamplingParams(xtc_probability=0.5)),
    "xtc_threshold": (0.5, SamplingParams(xtc_threshold=0.5)),
    "presence_penalty": (-2, SamplingParams(presence_penalty=-2.0)),
    "frequency_penalty": (2, SamplingParams(frequency_penalty=2.0)),
    "repetition_penalty": (1.1, SamplingParams(repetition_penalty=1.1)),
    "repeat_penalty": (1.2, SamplingParams(repetition_penalty=1.2)),
    "repetition_context_size": (20, SamplingParams(repetition_context_size=20)),
    "logit_bias": ({"5": -100}, SamplingParams(logit_bias={5: -100.0})),
    "seed": (-2, SamplingParams(seed=2**63 - 2)),
}
"""A value on the wire, and the sampling that results from it."""

REQUEST: dict[str, tuple[Any, str, Any]] = {
    "cache_salt": ("mine", "cache_salt", cache_salt("mine")),
    "prompt_cache_key": ("room", "cache_key", "room"),
    "max_output_tokens": (7, "max_tokens", 7),
    "max_tokens": (7, "max_tokens", 7),
    "max_completion_tokens": (7, "max_tokens", 7),
    "logprobs": (True, "top_logprobs", 0),
    "response_format": ({"type": "json_object"}, "grammar", JsonObjectGrammar()),
    "max_reasoning_tokens": (7, "max_reasoning_tokens", 7),
    "stop": (["x", "x"], "stop", ["x"]),
    "timeout": (1.5, "timeout", 1.5),
    "top_logprobs": (3, "top_logprobs", 3),
    "include": (["message.output_text.logprobs"], "top_logprobs", 0),
    "guided_json": (SCHEMA, "grammar", JsonSchemaGrammar(SCHEMA, strict=False)),
    "guided_regex": ("a+", "grammar", RegexGrammar("a+")),
    "guided_choice": (["a", "b"], "grammar", ChoiceGrammar(["a", "b"])),
    "guided_grammar": ("start: A", "grammar", LarkGrammar("start: A")),
    "text": (
        {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        "grammar",
        JsonSchemaGrammar(SCHEMA, strict=False),
    ),
}
"""A value on the wire, and the field of the request that has it."""

PROMPT: dict[str, tuple[Any, str, Any]] = {
    "chat_template_kwargs": ({"x": 1}, "template_kwargs", {"x": 1}),
    "reasoning_effort": ("low", "template_kwargs", {"reasoning_effort": "low", "enable_thinking": True}),
    "reasoning": ({"effort": "low"}, "template_kwargs", {"reasoning_effort": "low", "enable_thinking": True}),
    "tools": (
        [WEATHER],
        "tools",
        [Tool(name="get_weather", parameters=WEATHER["parameters"], strict=True)],
    ),
    "tool_choice": ("none", "tool_choice", ToolChoice("none")),
    "parallel_tool_calls": (False, "tool_choice", ToolChoice("auto", parallel=False)),
}
"""A value on the wire, and the field of the prompt that has it."""

ELSEWHERE = {
    *("model", "input", "instructions", "previous_response_id", "store", "stream", "stream_options"),
    *("audio_input", "modalities", "output_modalities", "audio", "max_spoken_seconds", "heard"),
}
"""Honoured fields with tests of their own."""

OTHER_INCLUDES = ("web_search_call.action.sources", "telepathy.thoughts")

REFUSED_VALUES: dict[str, Any] = {
    "background": True,
    "conversation": "conv_1",
    "prompt": {"id": "pmpt_1"},
    "messages": [{"role": "user", "content": "x"}],
    "n": 2,
    "functions": [{"name": "f"}],
    "function_call": "auto",
}

HOSTED = (
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "image_generation",
    "local_shell",
    "mcp",
    "programmatic_tool_calling",
    "shell",
    "telepathy",
    "tool_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
)
"""Types of tools that OpenAI runs, and one that nothing knows."""

NOTED_VALUES: dict[str, Any] = {
    "user": "label",
    "safety_identifier": "label",
    "client_metadata": {"x-codex-installation-id": "0"},
    "truncation": "auto",
    "service_tier": "priority",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"mode": "explicit"},
    "max_tool_calls": 3,
    "context_management": [{"type": "compaction"}],
    "moderation": {"model": "omni-moderation-latest"},
    "access_programs": {"cyber": "standard"},
    "background_options": {"completion_window": "2h"},
    "image": {"context_compression": "auto"},
    "verbosity": "low",
}

NOTED_PARTS: list[tuple[dict[str, Any], str]] = [
    ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    *(({"text": {"verbosity": verbosity}}, "text.verbosity") for verbosity in ("low", "high")),
    *(({"reasoning": {"summary": summary}}, "reasoning.summary") for summary in ("concise", "detailed")),
    ({"reasoning": {"generate_summary": "concise"}}, "reasoning.generate_summary"),
    *(({"reasoning": {"context": context}}, "reasoning.context") for context in ("current_turn", "all_turns")),
    ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
    *(({"include": [name]}, "include[0]") for name in OTHER_INCLUDES),
    ({"tools": [WEATHER, {**WEATHER, "name": "b", "defer_loading": True}]}, "tools[1].defer_loading"),
    ({"tools": [{**WEATHER, "output_schema": {}}]}, "tools[0].output_schema"),
    ({"tools": [{**WEATHER, "allowed_callers": ["programmatic"]}]}, "tools[0].allowed_callers"),
    (
        {
            "tools": [WEATHER],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "mcp"}, {"type": "function", "name": "get_weather"}],
            },
        },
        "tool_choice.tools[0].mcp",
    ),
]
"""Parts of honoured parameters that are noted, and their paths."""

NESTED: list[tuple[dict[str, Any], str]] = [
    (
        {"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}},
        "tool_choice.tools[0].type",
    ),
    *(({"chat_template_kwargs": {key: 1}}, f"chat_template_kwargs.{key}") for key in sorted(RESERVED_TEMPLATE_KWARGS)),
]
"""Refused parts of honoured parameters, and their paths."""


@pytest.fixture(scope="module")
def chat() -> FakeChat:
    """A model that no refused request reaches."""
    return FakeChat()


@pytest.fixture(scope="module")
def app(chat: FakeChat) -> Litestar:
    return make_app(chat)


async def refusal(app: Litestar, chat: FakeChat, fields: dict[str, Any]) -> tuple[str, str | None]:
    answer = await ask(app, path=PATH, json={**BODY, **fields})
    assert answer.status == 400, answer.body
    assert chat.requests == []
    return answer.error["code"], answer.error["param"]


def test_every_parameter_of_the_sdk_is_known() -> None:
    params = {*response_create_params.ResponseCreateParamsNonStreaming.__annotations__}
    params |= {*response_create_params.ResponseCreateParamsBase.__annotations__}
    assert params - {*FIELDS} == set()


def test_every_field_is_tested_for_what_its_contract_states() -> None:
    honoured = with_status(CreateResponse, "honoured")
    assert SAMPLING.keys() | REQUEST.keys() | PROMPT.keys() | ELSEWHERE | {"metadata"} == honoured
    assert REFUSED_VALUES.keys() == with_status(CreateResponse, "refused")
    assert NOTED_VALUES.keys() == with_status(CreateResponse, "noted")


@pytest.mark.parametrize(("name", "value", "expected"), [(name, *case) for name, case in SAMPLING.items()])
def test_an_honoured_parameter_reaches_the_sampling(name: str, value: Any, expected: SamplingParams) -> None:
    assert translate(**{name: value}).sampling == expected


@pytest.mark.parametrize(("name", "value", "field", "expected"), [(name, *case) for name, case in REQUEST.items()])
def test_an_honoured_parameter_reaches_the_engine(name: str, value: Any, field: str, expected: Any) -> None:
    assert getattr(translate(**{name: value}), field) == expected != getattr(translate(), field)


@pytest.mark.parametrize(("name", "value", "field", "expected"), [(name, *case) for name, case in PROMPT.items()])
def test_an_honoured_parameter_reaches_the_prompt(name: str, value: Any, field: str, expected: Any) -> None:
    assert getattr(prompt(**{name: value}), field) == expected != getattr(prompt(), field)


@pytest.mark.parametrize(("name", "value"), REFUSED_VALUES.items())
async def test_a_refused_parameter_is_named(app: Litestar, chat: FakeChat, name: str, value: Any) -> None:
    assert await refusal(app, chat, {name: value}) == ("unsupported_parameter", name)


@pytest.mark.parametrize(("fields", "param"), NESTED, ids=[param for _, param in NESTED])
async def test_a_refused_part_of_a_parameter_is_named(
    app: Litestar, chat: FakeChat, fields: dict[str, Any], param: str
) -> None:
    assert await refusal(app, chat, fields) == ("unsupported_parameter", param)


@pytest.mark.parametrize("type_", HOSTED)
async def test_a_tool_of_openai_is_left_out_and_noted(type_: str) -> None:
    chat = FakeChat()
    tools = [WEATHER, {"type": type_, "size": 3}]
    answer = await ask(make_app(chat), path=PATH, json={**BODY, "tools": tools})
    assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, f"tools[1].{type_}")
    assert answer.json["tools"][1] == {"type": type_, "size": 3}
    (request,) = chat.requests
    assert isinstance(request.prompt, ChatPrompt)
    assert [tool.name for tool in request.prompt.tools] == ["get_weather"]


async def test_a_call_that_no_function_can_answer_is_refused(app: Litestar, chat: FakeChat) -> None:
    asked = {"tools": [{"type": "web_search"}], "tool_choice": "required"}
    assert await refusal(app, chat, asked) == ("invalid_request_error", "tool_choice")


@pytest.mark.parametrize("type_", HOSTED)
async def test_the_choice_of_such_a_tool_is_refused(app: Litestar, chat: FakeChat, type_: str) -> None:
    assert await refusal(app, chat, {"tool_choice": {"type": type_}}) == ("unsupported_parameter", "tool_choice.type")


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, found in parameters(CreateResponse).items() for value in found.accepted]
)
async def test_a_refused_parameter_is_accepted_if_it_matches_what_happens_anyway(name: str, value: Any) -> None:
    assert translate(**{name: value}) == translate()
    assert (await ask(make_app(), path=PATH, json={**BODY, name: value})).status == 200


@pytest.mark.parametrize(("name", "value"), NOTED_VALUES.items())
async def test_a_noted_parameter_changes_nothing_but_is_named(name: str, value: Any) -> None:
    assert translate(**{name: value}) == translate()
    answer = await ask(make_app(), path=PATH, json={**BODY, name: value})
    assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, name)


@pytest.mark.parametrize("name", ["user", "safety_identifier", "max_tool_calls"])
async def test_a_label_is_repeated(name: str) -> None:
    answer = await ask(make_app(), path=PATH, json={**BODY, name: NOTED_VALUES[name]})
    assert answer.json[name] == NOTED_VALUES[name]


async def test_the_key_of_a_conversation_is_repeated_and_not_noted() -> None:
    answer = await ask(make_app(), path=PATH, json={**BODY, "prompt_cache_key": "room"})
    assert answer.json["prompt_cache_key"] == "room"
    assert "x-ignored-parameters" not in answer.headers


@pytest.mark.parametrize(("fields", "param"), NOTED_PARTS, ids=[param for _, param in NOTED_PARTS])
async def test_a_noted_part_of_a_parameter_is_named(fields: dict[str, Any], param: str) -> None:
    answer = await ask(make_app(), path=PATH, json={**BODY, **fields})
    assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, param)


@pytest.mark.parametrize(
    "reasoning",
    [{"effort": "medium", "summary": "detailed", "context": "all_turns"}, {}, None],
    ids=["full", "empty", "null"],
)
async def test_the_options_of_an_agent_are_hints_and_the_response_has_what_was_used(reasoning: Any) -> None:
    """Field case 2."""
    fields = {
        "input": "What is 2+2?",
        "store": False,
        "stream": True,
        "reasoning": reasoning,
        "text": {"verbosity": "low"},
        "service_tier": "priority",
        "include": ["reasoning.encrypted_content"],
    }
    answer = await ask(make_app(), path=PATH, json={**BODY, **fields})
    assert answer.status == 200
    last = stream_events(answer)[-1]["response"]
    assert last["reasoning"] == {"effort": (reasoning or {}).get("effort"), "summary": None}
    assert (last["text"]["verbosity"], last["service_tier"]) == ("medium", "default")
    assert [answer.headers["x-ignored-parameters"].count(name) for name in ("text.verbosity", "service_tier")] == [1, 1]


async def test_metadata_changes_nothing_but_is_repeated() -> None:
    assert translate(metadata={"a": "b"}) == translate()
    answer = await ask(make_app(), path=PATH, json={**BODY, "metadata": {"a": "b"}})
    assert (answer.json["metadata"], "x-ignored-parameters" in answer.headers) == ({"a": "b"}, False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {str(number): "v" for number in range(17)}}, "metadata"),
        ({"input": []}, "input"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice.name"),
        (
            {
                "tools": [WEATHER],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "other"}],
                },
            },
            "tool_choice.tools[0].name",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_object"}}, "guided_regex": "a"}, "guided_regex"),
        ({"logit_bias": {"a": 1}}, "logit_bias.a"),
        ({"include": [7]}, "include[0]"),
    ],
)
async def test_values_that_cannot_be_used_are_named(
    app: Litestar, chat: FakeChat, fields: dict[str, Any], param: str
) -> None:
    assert await refusal(app, chat, fields) == ("invalid_request_error", param)
