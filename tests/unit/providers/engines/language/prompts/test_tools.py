"""Tools in prompts, and the names of formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import load

from providers.chat.types import ChatMessage, ChatPrompt, Tool, ToolChoice
from providers.engines.language.prompts.tools import (
    ToolPrompter,
    callable_tools,
    generic_instructions,
    tools_for_template,
)
from providers.engines.output.markup import (
    GENERIC_TOOLS,
    make_reasoning_format,
    make_tool_format,
    reasoning_format_names,
    visible_tokens,
)
from providers.errors import InvalidRequest, UnsupportedParameter
from tests.unit.providers.engines import tiny

WEATHER = Tool(name="get_weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
CLOCK = Tool(name="now", description="The time.")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN = (
    "{% if tools %}{{ '<tools>' }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{{ '</tools>' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content }}"
    "{% for tool_call in message.tool_calls or [] %}{% set tool_call = tool_call.function %}"
    '{{ \'<tool_call>\n{"name": "\' + tool_call.name + \'", "arguments": \' }}'
    "{% for key, value in tool_call.arguments.items() %}{{ key }}={{ value }};{% endfor %}{{ '}\n</tool_call>' }}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MISTRAL = (
    "{% if tools %}{{ '[AVAILABLE_TOOLS]' + (tools | tojson) }}{% endif %}{% for message in messages %}"
    "{% if message.tool_calls %}{{ '[TOOL_CALLS]' }}{% for call in message.tool_calls %}"
    "{% if call.id | length != 9 %}{{ raise_exception('Tool call IDs should be strings of length 9!') }}{% endif %}"
    "{{ call.function.name + '[ARGS]' + (call.function.arguments | tojson) + call.id }}{% endfor %}"
    "{% elif message.role == 'tool' %}{{ '[RESULTS]' + message.tool_call_id + message.content }}"
    "{% else %}{{ message.content }}{% endif %}{% endfor %}"
)
TEXT_ARGUMENTS = (
    "{% if tools %}{{ tools | tojson }} [TOOL_CALLS]{% endif %}{% for message in messages %}"
    "{{ message.role + ': ' + message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function.name + ' ' + call.function.arguments }}{% endfor %}"
    "{% endfor %}"
)


@pytest.fixture(scope="module")
def tokenizer_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], Any]:
    def make(template: str | None) -> Any:
        folder: Path = tmp_path_factory.mktemp("tokenizer")
        return load(tiny.write_folder(folder, template=template))

    return make


@pytest.fixture(scope="module")
def prompter_of(tokenizer_of: Callable[[str | None], Any]) -> Callable[[str | None], ToolPrompter]:
    def make(template: str | None) -> ToolPrompter:
        tokenizer = tokenizer_of(template)
        return ToolPrompter(tokenizer, make_tool_format("auto", tokenizer))

    return make


def prompt(*messages: ChatMessage, tools: list[Tool] | None = None, **choice: Any) -> ChatPrompt:
    return ChatPrompt(
        messages=list(messages),
        tools=[WEATHER, CLOCK] if tools is None else tools,
        tool_choice=ToolChoice(**choice),
    )


def past(arguments: str, *, id: str = "call_1") -> list[dict[str, Any]]:
    call = {"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    return [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": id, "content": "sunny"},
    ]


USER = [{"role": "user", "content": "Weather?"}]


def test_a_template_that_takes_tools_gets_them_in_openais_form(prompter_of: Any) -> None:
    prompter = prompter_of(QWEN)
    assert (prompter.native, prompter.format.name) == (True, "json_tools")
    plan = prompter.plan(USER, prompt())
    assert plan.messages == USER
    assert plan.tools[1] == {
        "type": "function",
        "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}},
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"city": "Paris"}', {"city": "Paris"}),
        ("", {}),
        ('{"city": "Par', {"raw": '{"city": "Par'}),
        ("[1, 2]", {"raw": [1, 2]}),
        ("[" * 100_000, {"raw": "[" * 100_000}),
    ],
)
def test_past_arguments_of_any_form_reach_the_template_as_an_object(
    prompter_of: Any, arguments: str, expected: dict[str, Any]
) -> None:
    messages = prompter_of(QWEN).plan(past(arguments), prompt()).messages
    assert messages[1]["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": expected}


def test_a_template_that_joins_arguments_to_text_gets_them_as_text(prompter_of: Any) -> None:
    messages = prompter_of(TEXT_ARGUMENTS).plan(past('{"city": "Paris"}'), prompt()).messages
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'


def test_a_template_that_wants_ids_of_nine_letters_gets_the_same_ones_for_call_and_result(prompter_of: Any) -> None:
    prompter = prompter_of(MISTRAL)
    messages = prompter.plan(past("{}", id="call_abc"), prompt()).messages
    id = messages[1]["tool_calls"][0]["id"]
    assert len(id) == 9
    assert id.isalnum()
    assert messages[2]["tool_call_id"] == id
    kept = prompter.plan(past("{}", id="abcdefghi"), prompt()).messages
    assert kept[2]["tool_call_id"] == kept[1]["tool_calls"][0]["id"] == "abcdefghi"


def test_a_template_that_ignores_tools_is_given_them_in_the_system_message(prompter_of: Any) -> None:
    prompter = prompter_of(CHATML)
    assert (prompter.native, prompter.format) == (False, GENERIC_TOOLS)
    plan = prompter.plan(USER, prompt())
    messages = plan.messages
    assert plan.tools is None
    assert [message["role"] for message in messages] == ["system", "user"]
    lines = messages[0]["content"].split("<tools>\n")[1].split("\n</tools>")[0].splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["get_weather", "now"]
    merged = prompter.plan([{"role": "system", "content": "Be brief."}, *USER], prompt()).messages
    assert merged[0]["content"] == "Be brief.\n\n" + messages[0]["content"]
    assert merged[1:] == USER


def test_past_calls_and_results_are_written_out_where_the_template_would_lose_them(prompter_of: Any) -> None:
    turns = [*past('{"city": "Paris"}'), {"role": "user", "content": "And now?"}]
    messages = prompter_of(CHATML).plan(turns, prompt(tools=[])).messages
    assert messages == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
        },
        {"role": "user", "content": "<tool_response>\nsunny\n</tool_response>"},
        {"role": "user", "content": "And now?"},
    ]


def test_a_model_without_any_template_can_call_too(prompter_of: Any) -> None:
    plan = prompter_of(None).plan(past("{}"), prompt())
    assert plan.tools is None
    assert [message["role"] for message in plan.messages] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize("template", [QWEN, CHATML])
def test_with_tool_choice_none_the_model_gets_no_tools(prompter_of: Any, template: str) -> None:
    plan = prompter_of(template).plan(USER, prompt(mode="none"))
    assert (plan.messages, plan.tools, plan.callable, plan.format) == (USER, None, [], None)


def test_the_generic_prompt_contains_the_tool_choice() -> None:
    assert generic_instructions(prompt()).endswith("answer in plain words.")
    assert generic_instructions(prompt(mode="required")).endswith("Now call a function.")
    assert generic_instructions(prompt(mode="required", name="now")).endswith("Now call the function now.")
    assert "one such block at most" in generic_instructions(prompt(parallel=False))


def test_without_a_parser_tools_are_refused_by_name(tokenizer_of: Any) -> None:
    prompter = ToolPrompter(tokenizer_of(QWEN), None)
    assert prompter.plan(USER, prompt(tools=[])).messages == USER
    with pytest.raises(UnsupportedParameter) as refusal:
        prompter.plan(USER, prompt())
    assert refusal.value.param == "tools"


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (prompt(tools=[], mode="required"), "tool_choice"),
        (prompt(mode="required", name="nothing"), "tool_choice"),
        (prompt(tools=[CLOCK, WEATHER, CLOCK]), "tools[2].function.name"),
    ],
)
def test_choices_that_cannot_be_met_are_refused(request_: ChatPrompt, param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        callable_tools(request_)
    assert refusal.value.param == param


def test_a_required_call_is_json_in_the_models_own_markers_or_the_generic_ones(prompter_of: Any) -> None:
    qwen, mistral = prompter_of(QWEN), prompter_of(MISTRAL)
    one = qwen.plan(USER, prompt(mode="required", name="now"))
    assert (one.callable, one.format, len(one.tools)) == ([CLOCK], qwen.format, 2)
    assert mistral.format.name == "mistral"
    any_ = mistral.plan(USER, prompt(mode="required"))
    assert (any_.callable, any_.format) == ([WEATHER, CLOCK], GENERIC_TOOLS)
    assert len(any_.tools) == 2


def test_calls_of_strict_functions_are_json(prompter_of: Any) -> None:
    tools = [CLOCK, Tool(name="strictly", strict=True)]
    qwen = prompter_of(QWEN).plan(USER, prompt(tools=tools))
    assert (qwen.format.name, len(qwen.tools)) == ("json_tools", 2)
    mistral = prompter_of(MISTRAL).plan(past("{}"), prompt(tools=tools))
    assert (mistral.format, mistral.tools) == (GENERIC_TOOLS, None)
    assert [message["role"] for message in mistral.messages] == ["system", "user", "assistant", "user"]


def test_a_model_with_an_unknown_parser_gets_the_generic_format(prompter_of: Any) -> None:
    takes_tools_without_markup = "{{ tools | tojson if tools else '' }}" + CHATML
    prompter = prompter_of(takes_tools_without_markup)
    assert (prompter.native, prompter.format) == (False, GENERIC_TOOLS)


def test_formats_are_found_or_named(tokenizer_of: Any) -> None:
    plain = tokenizer_of(CHATML)
    assert make_reasoning_format("auto", plain) is None
    assert make_reasoning_format("none", plain) is None
    assert make_reasoning_format("auto", tokenizer_of(CHATML + "{# <think> </think> #}")).start == "<think>"  # type: ignore[union-attr]
    assert make_tool_format("qwen3_coder", plain).name == "qwen3_coder"  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="qwen3_coder"):
        make_tool_format("qwen", plain)
    with pytest.raises(ValueError, match="deepseek_r1"):
        make_reasoning_format("deepseek", plain)
    assert {"auto", "none", "deepseek_r1", "qwen3", "harmony"} <= set(reasoning_format_names())


def test_only_the_end_of_the_prompt_opens_a_thought() -> None:
    think = make_reasoning_format("think", None)
    assert think is not None
    assert think.opened_by("<|im_start|>assistant\n<think>\n")
    assert not think.opened_by("What does <think> mean?<|im_end|>\n<|im_start|>assistant\n")
    assert not think.opened_by("<think>\n\n</think>\n\n")


def test_special_tokens_of_the_markup_are_visible() -> None:
    class Token:
        def __init__(self, content: str, special: bool = True) -> None:
            self.content, self.special = content, special

    class Tokenizer:
        eos_token_ids = (0,)
        added_tokens_decoder = {  # noqa: RUF012
            0: Token("<|tool_call_end|>"),
            1: Token("<|tool_call_start|>"),
            2: Token("<|im_start|>"),
            3: Token("<think>", special=False),
        }

    tools = make_tool_format("pythonic", None)
    assert visible_tokens(Tokenizer(), make_reasoning_format("think", None), tools) == {1}


def test_tools_without_parameters_get_an_empty_object() -> None:
    (tool,) = tools_for_template([Tool(name="now")])
    assert tool["function"] == {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("parameters", [None, {}, {"properties": []}, {"properties": None}])
def test_a_template_can_iterate_over_the_properties_of_every_function(parameters: dict[str, Any] | None) -> None:
    (described,) = tools_for_template([Tool("f", parameters=parameters)])
    assert described["function"]["parameters"] == {"type": "object", "properties": {}}
