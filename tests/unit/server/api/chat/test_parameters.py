"""Every chat parameter is honoured, noted or refused, as its contract states."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from litestar import Litestar
from msgspec.structs import replace
from structlog.testing import capture_logs

from contracts.chat.messages import ChatCompletionRequestMessage
from contracts.chat.request import ChatCompletionRequest
from contracts.parameters import parameters
from otel.testing import capture_metrics
from providers.chat.types import (
    RESERVED_TEMPLATE_KWARGS,
    ChatMessage,
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
from tests.unit.server.api.chat.asked import translate
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, ask, make_app
from tests.unit.server.parameters import with_status

INVALID = "invalid_request_error"
FUNCTION = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}

HONOURED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "n": ({"n": 3}, {"n": 3}),
    "max_tokens": ({"max_tokens": 7}, {"max_tokens": 7}),
    "max_completion_tokens": ({"max_completion_tokens": 7}, {"max_tokens": 7}),
    "stop": ({"stop": "x"}, {"stop": ["x"]}),
    "timeout": ({"timeout": 1.5}, {"timeout": 1.5}),
    "temperature": ({"temperature": 1}, {"sampling": SamplingParams(temperature=1.0)}),
    "top_p": ({"top_p": 0.5}, {"sampling": SamplingParams(top_p=0.5)}),
    "top_k": ({"top_k": 5}, {"sampling": SamplingParams(top_k=5)}),
    "min_p": ({"min_p": 0.5}, {"sampling": SamplingParams(min_p=0.5)}),
    "xtc_probability": ({"xtc_probability": 0.5}, {"sampling": SamplingParams(xtc_probability=0.5)}),
    "xtc_threshold": ({"xtc_threshold": 0.5}, {"sampling": SamplingParams(xtc_threshold=0.5)}),
    "presence_penalty": ({"presence_penalty": -2}, {"sampling": SamplingParams(presence_penalty=-2.0)}),
    "frequency_penalty": ({"frequency_penalty": 2}, {"sampling": SamplingParams(frequency_penalty=2.0)}),
    "repetition_penalty": ({"repetition_penalty": 1.1}, {"sampling": SamplingParams(repetition_penalty=1.1)}),
    "repeat_penalty": ({"repeat_penalty": 1.2}, {"sampling": SamplingParams(repetition_penalty=1.2)}),
    "repetition_context_size": (
        {"repetition_context_size": 20},
        {"sampling": SamplingParams(repetition_context_size=20)},
    ),
    "logit_bias": ({"logit_bias": {"5": -100}}, {"sampling": SamplingParams(logit_bias={5: -100.0})}),
    "seed": ({"seed": 42}, {"sampling": SamplingParams(seed=42)}),
    "cache_salt": ({"cache_salt": "mine"}, {"cache_salt": cache_salt("mine")}),
    "prompt_cache_key": ({"prompt_cache_key": "room"}, {"cache_key": "room"}),
    "logprobs": ({"logprobs": True}, {"top_logprobs": 0}),
    "top_logprobs": ({"logprobs": True, "top_logprobs": 20}, {"top_logprobs": 20}),
    "tools": ({"tools": [FUNCTION]}, {"prompt.tools": [Tool("f")]}),
    "tool_choice": (
        {"tools": [FUNCTION], "tool_choice": FUNCTION},
        {"prompt.tools": [Tool("f")], "prompt.tool_choice": ToolChoice("required", "f")},
    ),
    "parallel_tool_calls": ({"parallel_tool_calls": False}, {"prompt.tool_choice": ToolChoice(parallel=False)}),
    "response_format": ({"response_format": {"type": "json_object"}}, {"grammar": JsonObjectGrammar()}),
    "guided_json": (
        {"guided_json": SCHEMA},
        {"grammar": JsonSchemaGrammar(SCHEMA, strict=False), "grammar_param": "guided_json"},
    ),
    "guided_regex": ({"guided_regex": "a+"}, {"grammar": RegexGrammar("a+"), "grammar_param": "guided_regex"}),
    "guided_choice": (
        {"guided_choice": ["a", "b"]},
        {"grammar": ChoiceGrammar(["a", "b"]), "grammar_param": "guided_choice"},
    ),
    "guided_grammar": (
        {"guided_grammar": 'start: "a"'},
        {"grammar": LarkGrammar('start: "a"'), "grammar_param": "guided_grammar"},
    ),
    "json_schema": (
        {"json_schema": SCHEMA},
        {"grammar": JsonSchemaGrammar(SCHEMA, strict=False), "grammar_param": "json_schema"},
    ),
    "grammar": ({"grammar": 'root ::= "a"'}, {"grammar": LarkGrammar('root ::= "a"'), "grammar_param": "grammar"}),
    "reasoning_effort": (
        {"reasoning_effort": "low"},
        {"prompt.template_kwargs": {"reasoning_effort": "low", "enable_thinking": True}},
    ),
    "continue_final_message": (
        {
            "continue_final_message": True,
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "He"}],
        },
        {
            "prompt.continue_final": True,
            "prompt.messages": [ChatMessage("user", "Hi"), ChatMessage("assistant", "He")],
        },
    ),
    "functions": (
        {"functions": [{"name": "f", "description": "F.", "parameters": {}}]},
        {"prompt.tools": [Tool("f", "F.", {})], "prompt.tool_choice": ToolChoice("auto", parallel=False)},
    ),
    "enable_thinking": ({"enable_thinking": False}, {"prompt.template_kwargs": {"enable_thinking": False}}),
    "think": ({"think": True}, {"prompt.template_kwargs": {"enable_thinking": True}}),
    "thinking": (
        {"thinking": {"type": "enabled", "budget_tokens": 9}},
        {"prompt.template_kwargs": {"enable_thinking": True}, "max_reasoning_tokens": 9},
    ),
    "reasoning": (
        {"reasoning": {"effort": "low", "max_tokens": 9}},
        {
            "prompt.template_kwargs": {"reasoning_effort": "low", "enable_thinking": True},
            "max_reasoning_tokens": 9,
        },
    ),
    "max_reasoning_tokens": ({"max_reasoning_tokens": 9}, {"max_reasoning_tokens": 9}),
    "prefill_only": ({"prefill_only": True}, {"prefill_only": True}),
    "chat_template_kwargs": (
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"prompt.template_kwargs": {"enable_thinking": False}},
    ),
}
"""The fields that are sent, and all differences from a plain request that reach the engine."""

ELSEWHERE = {
    *("model", "messages", "stream", "stream_options", "function_call"),
    *("modalities", "audio", "audio_input", "max_spoken_seconds", "heard", "context"),
}
"""Honoured fields with tests of their own."""

HINTS: dict[str, Any] = {
    "metadata": {"a": {"b": [1, None]}},
    "store": True,
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
    "moderation": {"model": "x"},
    "user": 5,
}
"""Values of the noted fields that are not text."""


@pytest.fixture(scope="module")
def chat() -> FakeChat:
    """A model that no refused request reaches."""
    return FakeChat()


@pytest.fixture(scope="module")
def app(chat: FakeChat) -> Litestar:
    return make_app(chat)


def test_every_field_is_tested_for_what_its_contract_states() -> None:
    assert HONOURED.keys() | ELSEWHERE == with_status(ChatCompletionRequest, "honoured")
    assert not with_status(ChatCompletionRequest, "refused")


@pytest.mark.parametrize(("fields", "expected"), HONOURED.values(), ids=HONOURED)
def test_an_honoured_parameter_reaches_the_engine_and_changes_nothing_else(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    plain, request = translate(), translate(**fields)

    prompt = {path.removeprefix("prompt."): value for path, value in expected.items() if path.startswith("prompt.")}
    others = {path: value for path, value in expected.items() if "." not in path}
    assert request == replace(plain, prompt=replace(plain.prompt, **prompt), **others)
    assert request != plain


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, found in parameters(ChatCompletionRequest).items() for value in found.accepted],
)
def test_a_hint_may_match_what_happens_anyway(name: str, value: Any) -> None:
    assert translate(**{name: value}) == translate()


@pytest.mark.parametrize("name", sorted(with_status(ChatCompletionRequest, "noted")))
async def test_a_label_changes_nothing_and_is_noted(name: str) -> None:
    value = HINTS.get(name, "priority")
    assert translate(**{name: value}) == translate()
    answer = await ask(make_app(), json={**BODY, name: value})
    assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, name)


@pytest.mark.parametrize("key", sorted(RESERVED_TEMPLATE_KWARGS))
async def test_a_template_argument_that_the_server_sets_is_refused(app: Litestar, key: str) -> None:
    answer = await ask(app, json={**BODY, "chat_template_kwargs": {key: 1}})
    assert (answer.error["code"], answer.error["param"]) == ("unsupported_parameter", f"chat_template_kwargs.{key}")


@pytest.mark.parametrize("name", sorted(with_status(ChatCompletionRequest, "noted")))
async def test_strict_parameters_refuse_what_is_noted(name: str) -> None:
    strict = make_app(strict_parameters=True)
    refused = await ask(strict, json={**BODY, name: HINTS.get(name, "priority")})
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "unsupported_parameter", name)


@pytest.mark.parametrize(
    ("fields", "noted"),
    [
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream_options": None}, None),
        ({"stream_options": {}}, None),
        ({"stream": True, "stream_options": None}, None),
        ({"stream": True, "stream_options": {}}, None),
        ({"stream": True, "stream_options": {"include_obfuscation": False}}, None),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"stream": True, "stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage_stats"),
        ({"brand_new": 1, "other": {}, "null": None}, "brand_new, other"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}] * 99},
            "messages[].content[].cache_control",
        ),
    ],
)
async def test_what_has_no_effect_is_noted_at_any_depth(fields: dict[str, Any], noted: str | None) -> None:
    with capture_logs() as logs:
        answer = await ask(make_app(), json={**BODY, **fields})
    assert (answer.status, answer.headers.get("x-ignored-parameters")) == (200, noted)
    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert line.get("ignored") == (noted.split(", ") if noted else None)
    strict = await ask(make_app(strict_parameters=True), json={**BODY, **fields})
    assert strict.status == (400 if noted else 200)
    if noted:
        assert (strict.error["code"], strict.error["param"]) == ("unsupported_parameter", noted.partition(",")[0])


async def test_ignored_parameters_are_counted_by_their_known_names() -> None:
    with capture_metrics() as metrics:
        await ask(make_app(), json={**BODY, "user": "a", "x" * 99: 1, "another": 2})
        family = metrics.families()["mlx_ignored_parameters"]
    counts = {sample.labels["mlx_parameter"]: sample.value for sample in family.samples if "total" in sample.name}
    assert counts == {"user": 1, "unknown": 2}


@pytest.mark.parametrize(
    ("seed", "expected"),
    [(0, 0), (2**63 - 1, 2**63 - 1), (2**64 - 1, 2**63 - 1), (-1, None), (-(2**63), 0), (-5, 2**63 - 5)],
)
def test_every_64_bit_seed_becomes_one_that_random_keys_accept(seed: int, expected: int | None) -> None:
    assert translate(seed=seed).sampling.seed == expected


def test_stop_strings_are_passed_once_each() -> None:
    assert translate(stop=["a", "b", "a"]).stop == ["a", "b"]
    assert translate(stop=[]).stop == []
    assert len(translate(stop=[str(number) for number in range(64)]).stop) == 64


def test_top_k_minus_one_turns_it_off() -> None:
    assert translate(top_k=-1).sampling.top_k == 0


def turns(*messages: dict[str, Any]) -> list[ChatMessage]:
    return translate(messages=list(messages)).prompt.messages  # type: ignore[union-attr]


def test_turns_become_what_chat_templates_read() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    odd = {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "[not json"}}
    assert turns(
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call, odd]},
        {"role": "tool", "content": "1", "tool_call_id": "c1"},
        {"role": "assistant", "refusal": "I will not."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "reasoning_content": "hm"},
    ) == [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="a\nb", name="ann"),
        ChatMessage(
            role="assistant",
            tool_calls=[
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "[not json"}},
            ],
        ),
        ChatMessage(role="tool", content="1", tool_call_id="c1"),
        ChatMessage(role="assistant", content="I will not."),
        ChatMessage(role="assistant", content="No.", reasoning_content="hm"),
    ]


def test_a_history_of_empty_strings_is_a_conversation() -> None:
    history = [{"role": ("user", "assistant")[number % 2], "content": ""} for number in range(30)]
    assert [turn.content for turn in turns(*history)] == [""] * 30


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
            "unsupported_parameter",
            "messages[0].content[0].type",
        ),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]},
            "unsupported_parameter",
            "messages[0].content[0].type",
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "file", "file": {"filename": "a"}}]},
            "invalid_request_error",
            "messages[0].content[1].file",
        ),
        ({"role": "user", "content": [{"type": "video"}]}, "invalid_request_error", "messages[0].content[0].type"),
        ({"role": "user", "content": []}, "invalid_request_error", "messages[0].content"),
        ({"role": "user", "content": None}, "invalid_request_error", "messages[0].content"),
        ({"role": "user", "content": [{"type": "input_text", "text": "x"}]}, INVALID, "messages[0].content[0].type"),
        ({"role": "user", "content": "x", "audio": {"id": "1"}}, INVALID, "messages[0].audio"),
        ({"role": "assistant", "function_call": {"arguments": "{}"}}, INVALID, "messages[0].function_call.name"),
        ({"role": "user", "content": "x", "tool_call_id": "1"}, "invalid_request_error", "messages[0].tool_call_id"),
        ({"role": "user", "content": "x", "refusal": "no"}, "invalid_request_error", "messages[0].refusal"),
    ],
)
async def test_what_a_turn_cannot_have_is_named(app: Litestar, message: dict[str, Any], code: str, param: str) -> None:
    answer = await ask(app, json={**BODY, "messages": [message]})
    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == (code, param)


def test_every_field_of_a_turn_is_read() -> None:
    """The translation would silently ignore a field that it does not read."""
    assert {field.name for field in attrs.fields(ChatCompletionRequestMessage)} == {
        "audio",
        "content",
        "function_call",
        "name",
        "prefix",
        "reasoning",
        "reasoning_content",
        "refusal",
        "role",
        "tool_call_id",
        "tool_calls",
    }
