"""Tools and reasoning through the language-model engine: the prompt, and the events of the output."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    ChoiceGrammar,
    GenerationRequest,
    SamplingParams,
    Tool,
    ToolChoice,
)
from providers.engine_host.frames import Generate, LoadFailed
from providers.errors import UnsupportedParameter
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import GREEDY, EngineClient, chat
from tests.unit.providers.engines.inprocess import SteppedEngine

WILD = SamplingParams(temperature=1.5, seed=3)
NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
WEATHER = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {
            "city": {"enum": ["Paris", "Rome"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    },
)
CLOCK = Tool(name="get_time", parameters={"type": "object", "properties": {}, "additionalProperties": False})
REQUIRED = ToolChoice("required", parallel=False)


def ask_with_tools(choice: ToolChoice, *tools: Tool, **template_kwargs: str) -> ChatPrompt:
    messages = [ChatMessage(role="user", content="How is the weather?")]
    return ChatPrompt(
        messages=messages, tools=list(tools or (WEATHER, CLOCK)), tool_choice=choice, template_kwargs=template_kwargs
    )


def check_weather(arguments: str) -> None:
    held = json.loads(arguments)
    assert set(held) == {"city", "days"}
    assert held["city"] in ("Paris", "Rome")
    assert 1 <= held["days"] <= 9


@pytest.mark.parametrize("seed", range(4))
def test_a_named_function_is_called_once_with_arguments_of_its_schema(roomy: EngineClient, seed: int) -> None:
    prompt = ask_with_tools(ToolChoice("required", name="get_weather"))
    # The model would not end by itself: the answer ends because the grammar allows nothing more.
    sampling = SamplingParams(temperature=1.5, seed=seed, logit_bias={tiny.END: -100.0})
    answer = roomy.ask("named", prompt, sampling=sampling, max_tokens=400)
    assert answer.finished is not None
    assert answer.finished.finish_reason == "tool_calls"
    ((name, arguments),) = answer.calls
    assert name == "get_weather"
    check_weather(arguments)
    assert answer.text == ""
    first = answer.call_deltas[0]
    assert (first.name, first.arguments) == ("get_weather", "")
    assert first.id


def edit(grammar: str) -> Tool:
    parameters = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    return Tool("edit", parameters=parameters, strict=True, lark=grammar)


@pytest.mark.parametrize("seed", range(3))
def test_a_text_argument_has_its_grammar(roomy: EngineClient, seed: int) -> None:
    prompt = ask_with_tools(
        ToolChoice("required", name="edit"), edit('start: ("+" /.{0,3}/ LF){2,3}\n%import common.LF')
    )
    sampling = SamplingParams(temperature=1.5, seed=seed, logit_bias={tiny.END: -100.0})
    answer = roomy.ask("edit", prompt, sampling=sampling, max_tokens=400)
    ((_, arguments),) = answer.calls
    assert re.fullmatch(r"(\+.{0,3}\n){2,3}", json.loads(arguments)["input"])
    assert answer.accepted is not None
    assert answer.accepted.given_up == ()


def test_a_grammar_that_no_call_can_be_held_to_is_named(roomy: EngineClient) -> None:
    prompt = ask_with_tools(ToolChoice(), CLOCK, edit('start: "a"\n%ignore " "'))
    answer = roomy.ask("loose", prompt, sampling=NO_END, max_tokens=5)
    assert answer.accepted is not None
    assert answer.accepted.given_up == ("tools[1].function.lark",)


def test_required_calls_may_be_several(roomy: EngineClient) -> None:
    sampling = SamplingParams(temperature=1.5, seed=5, logit_bias={tiny.END: -100.0})
    answer = roomy.ask("several", ask_with_tools(ToolChoice("required")), sampling=sampling, max_tokens=400)
    assert len(answer.calls) > 2
    for name, arguments in answer.calls[:2]:
        check_weather(arguments) if name == "get_weather" else json.loads(arguments)
    opened = [delta for delta in answer.call_deltas if delta.name is not None]
    assert [delta.call for delta in opened] == list(range(len(opened)))
    assert len({delta.id for delta in opened}) == len(opened)


def test_a_required_call_may_follow_a_thought_that_is_over(thinker: EngineClient) -> None:
    prompt = ask_with_tools(REQUIRED, WEATHER, suffix="<think>")
    answer = thinker.ask("thought", prompt, sampling=WILD, max_tokens=60)
    # Reasoning is not constrained, and a random model never ends it.
    assert answer.finished is not None
    assert answer.finished.finish_reason == "length"
    assert answer.reasoning
    assert (answer.text, answer.calls) == ("", [])


def test_a_call_that_is_cut_off_reports_length(roomy: EngineClient) -> None:
    answer = roomy.ask("short", ask_with_tools(REQUIRED, WEATHER), sampling=WILD, max_tokens=45)
    assert answer.finished is not None
    assert answer.finished.finish_reason == "length"


def test_with_tool_choice_none_the_prompt_mentions_no_tools(roomy: EngineClient) -> None:
    without = roomy.ask("without", chat(("user", "How is the weather?")), sampling=NO_END, max_tokens=4)
    none = roomy.ask("none", ask_with_tools(ToolChoice("none")), sampling=NO_END, max_tokens=4)
    auto = roomy.ask("auto", ask_with_tools(ToolChoice()), sampling=NO_END, max_tokens=4)
    assert without.accepted is not None
    assert none.accepted is not None
    assert none.accepted.prompt_tokens == without.accepted.prompt_tokens
    assert auto.accepted is not None
    assert auto.accepted.prompt_tokens > without.accepted.prompt_tokens + len(WEATHER.name)


def test_a_thought_that_the_prompt_opened_is_reasoning(thinker: EngineClient) -> None:
    answer = thinker.ask("opened", chat(("user", "x"), suffix="<think>\n"), sampling=NO_END, max_tokens=12)
    assert answer.reasoning
    assert answer.text == ""
    assert answer.finished is not None
    assert answer.finished.usage.reasoning_tokens == 12


def test_without_a_parser_thoughts_are_content_and_tools_are_refused(
    start: Callable[..., EngineClient], tiny_folder: Path
) -> None:
    client = start()
    client.load(str(tiny_folder), reasoning_parser="none", tool_call_parser="none")
    answer = client.ask("plain", chat(("user", "x"), suffix="<think>\n"), sampling=NO_END, max_tokens=12)
    assert answer.text
    assert answer.reasoning == ""
    failed = client.ask("tools", ask_with_tools(ToolChoice())).failed
    assert failed is not None
    assert (failed.code, failed.param) == ("unsupported_parameter", "tools")


@pytest.mark.parametrize("option", ["tool_call_parser", "reasoning_parser"])
def test_an_unknown_parser_is_refused_at_the_start_by_its_option(
    start: Callable[..., EngineClient], tiny_folder: Path, option: str
) -> None:
    failed = start().load(str(tiny_folder), **{option: "no-such-thing"})
    assert isinstance(failed, LoadFailed)
    assert "--" + option.replace("_", "-") in failed.message
    assert "auto" in failed.message


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (ask_with_tools(ToolChoice("required", name="no_such_tool")), "tool_choice"),
        (
            ask_with_tools(REQUIRED, Tool("f", parameters={"type": "string"}, strict=True)),
            "tools[0].function.parameters.type",
        ),
        (ask_with_tools(ToolChoice(), WEATHER, WEATHER), "tools[1].function.name"),
        (
            ask_with_tools(
                ToolChoice("required", name="b"),
                WEATHER,
                Tool("b", parameters={"type": "object", "properties": {"x": {"$ref": "#/nowhere"}}}, strict=True),
            ),
            "tools[1].function.parameters.properties.x.$ref",
        ),
    ],
)
def test_unsupported_tools_are_refused_with_their_path(roomy: EngineClient, prompt: ChatPrompt, param: str) -> None:
    failed = roomy.ask("refused", prompt, sampling=GREEDY, max_tokens=5).failed
    assert failed is not None
    assert (failed.code, failed.param) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    ("prompt", "given_up"),
    [
        (ask_with_tools(REQUIRED), ("tool_choice",)),
        (ask_with_tools(ToolChoice(), Tool("f", strict=True)), ("tools[0].function.strict",)),
        (ask_with_tools(ToolChoice()), ()),
    ],
    ids=["required", "strict", "free"],
)
def test_a_model_that_writes_in_channels_calls_as_it_was_trained_to(
    roomy_folder: Path, prompt: ChatPrompt, given_up: tuple[str, ...]
) -> None:
    engine = SteppedEngine(roomy_folder, reasoning_parser="harmony", tool_call_parser="harmony", warmup=False)
    answer = engine.ask("free", prompt, sampling=NO_END, max_tokens=5)
    assert answer.finished is not None
    assert answer.accepted is not None
    assert answer.accepted.given_up == given_up


def test_a_named_function_is_refused_for_a_model_that_writes_in_channels(roomy_folder: Path) -> None:
    engine = SteppedEngine(roomy_folder, reasoning_parser="harmony", tool_call_parser="harmony", warmup=False)
    prompt = ask_with_tools(ToolChoice("required", "f"), Tool("f"))
    with pytest.raises(UnsupportedParameter, match="harmony") as refused:
        engine.submit("held", prompt, max_tokens=5)
    assert refused.value.param == "tool_choice"


def test_a_grammar_waits_for_the_channel_of_the_answer(roomy_folder: Path) -> None:
    engine = SteppedEngine(roomy_folder, reasoning_parser="harmony", warmup=False)
    job = engine.engine.prepare(
        Generate(GenerationRequest("held", chat(("user", "?")), grammar=ChoiceGrammar(["yes"]), max_tokens=5))
    )
    assert job.grammar is not None
    assert job.grammar.start_after is not None
    marker = engine.engine._tokenizer.decode(list(job.grammar.start_after))
    assert marker == "<|channel|>final<|message|>"
    # The tiny model never opens that channel, so nothing constrains it.
    free = engine.ask("free", chat(("user", "?")), sampling=NO_END, max_tokens=12, grammar=ChoiceGrammar(["yes"]))
    assert free.finished is not None
    assert free.finished.finish_reason == "length"
