"""Answers put together from the deltas of the output parser, and one call in every format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from providers.chat.types import ReasoningDelta, TextDelta, Tool, ToolCallDelta
from providers.engines.output.markup import make_reasoning_format, make_tool_format
from providers.engines.output.parser import AnswerFormat, AnswerSplitter

WEATHER = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)
CLOCK = Tool(name="now")
TOOLS = [WEATHER, CLOCK]
PARIS = {"city": "Paris", "days": 2}

THINK = make_reasoning_format("think", None)
JSON_CALLS = AnswerFormat(THINK, make_tool_format("json_tools", None))


@attrs.define
class Answer:
    """An answer as a client puts it together from the deltas."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = attrs.field(factory=list)
    finish: str | None = None
    stopped: bool = False

    @property
    def arguments(self) -> list[Any]:
        return [(name, json.loads(arguments)) for name, arguments in self.calls]


def split(pieces: Sequence[str], format: AnswerFormat = JSON_CALLS, *, cut: bool = False, **options: Any) -> Answer:
    options.setdefault("tools", TOOLS)
    splitter = AnswerSplitter(format, **options)
    deltas = [delta for piece in pieces for delta in splitter.push(piece)]
    deltas += splitter.finish("length" if cut else "stop")
    answer = Answer(finish=splitter.finish_reason, stopped=splitter.stopped)
    ids = []
    for delta in deltas:
        match delta:
            case TextDelta():
                answer.text += delta.text
            case ReasoningDelta():
                answer.reasoning += delta.text
            case ToolCallDelta(name=str()):
                assert delta.call == len(answer.calls)
                assert delta.arguments == ""
                ids.append(delta.id)
                answer.calls.append((delta.name, ""))
            case ToolCallDelta():
                name, arguments = answer.calls[delta.call]
                assert delta.call == len(answer.calls) - 1
                answer.calls[delta.call] = (name, arguments + delta.arguments)
    assert len(set(ids)) == len(ids)
    assert all(id.startswith("call_") for id in ids)
    return answer


def call(name: str = "get_weather", arguments: Any = PARIS) -> str:
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}) + "\n</tool_call>"


SAMPLES = {
    "json_tools": call(),
    "generic": call(),
    "function_gemma": "<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:2}<end_function_call>",
    "gemma4": '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:2}<tool_call|>',
    "glm47": "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>\n"
    "<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>",
    "kimi_k2": "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
    '{"city": "Paris", "days": 2}<|tool_call_end|><|tool_calls_section_end|>',
    "kimi_k3": '<|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|>'
    '<|open|>argument key="city" type="string"<|sep|>Paris<|close|>argument<|sep|>'
    '<|open|>argument key="days" type="integer"<|sep|>2<|close|>argument<|sep|>'
    "<|close|>call<|sep|><|close|>tools<|sep|>",
    "longcat": "<longcat_tool_call>get_weather\n<longcat_arg_key>city</longcat_arg_key>\n"
    "<longcat_arg_value>Paris</longcat_arg_value>\n<longcat_arg_key>days</longcat_arg_key>\n"
    "<longcat_arg_value>2</longcat_arg_value>\n</longcat_tool_call>",
    "minicpm5": '<function name="get_weather"><param name="city">Paris</param><param name="days">2</param></function>',
    "minimax_m2": '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n'
    '<parameter name="days">2</parameter>\n</invoke>\n</minimax:tool_call>',
    "mistral": '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris", "days": 2}',
    "muse_spark": '<atem:function_calls>\n<atem:invoke name="get_weather">\n'
    '<atem:parameter name="city">Paris</atem:parameter>\n<atem:parameter name="days">2</atem:parameter>\n'
    "</atem:invoke>\n</atem:function_calls>",
    "pythonic": '<|tool_call_start|>[get_weather(city="Paris", days=2)]<|tool_call_end|>',
    "qwen3_coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
    "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>",
}
SAMPLES["laguna"] = SAMPLES["glm47"]
FORMATS = sorted(SAMPLES)


def of(name: str) -> AnswerFormat:
    return AnswerFormat(THINK, make_tool_format(name, None))
