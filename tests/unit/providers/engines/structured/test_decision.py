"""The constraint on an answer, decided from the request and the model's formats."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    ChoiceGrammar,
    GenerationRequest,
    Prompt,
    TextPrompt,
    Tool,
    ToolChoice,
)
from providers.engines.output.markup import (
    GENERIC_TOOLS,
    ReasoningFormat,
    ToolFormat,
    make_reasoning_format,
    make_tool_format,
)
from providers.engines.structured.constraint import Calls, Constraint, Thought, ToolMarkup
from providers.engines.structured.decision import call_format, decide, relaxed
from providers.errors import UnsupportedParameter

YES = ChoiceGrammar(["yes", "no"])
LOOSE = Tool("now", parameters={"type": "object", "properties": {"zone": {"enum": ["UTC"]}}})
STRICT = Tool("now", parameters=LOOSE.parameters, strict=True)
ANY_OBJECT = Tool("now", parameters={"type": "object"})
THINK = make_reasoning_format("think", None)
HARMONY = make_reasoning_format("harmony", None)
QWEN = make_tool_format("qwen3_coder", None)
JSON_MARKUP = ToolMarkup(begin="<tool_call>\n", end="\n</tool_call>")
REQUIRED = ToolChoice("required")
AUTO = ToolChoice()


def chat(*tools: Tool, choice: ToolChoice = AUTO) -> ChatPrompt:
    return ChatPrompt([ChatMessage(role="user", content="?")], tools=list(tools), tool_choice=choice)


def decided(
    prompt: Prompt,
    calls: ToolFormat | None = None,
    reasoning: ReasoningFormat | None = None,
    *,
    grammar: Any = None,
    opened: bool = False,
) -> Constraint | None:
    request = GenerationRequest("id", prompt, grammar=grammar, grammar_param="field")
    return decide(request, calls, reasoning, opened=opened)


def json_calls(*tools: Tool, choice: ToolChoice = AUTO) -> Calls:
    return Calls(markup=JSON_MARKUP, tools=tools, choice=choice)


@pytest.mark.parametrize(
    ("prompt", "calls"),
    [(TextPrompt("x"), None), (chat(), None), (chat(LOOSE), GENERIC_TOOLS), (chat(LOOSE), QWEN)],
)
def test_most_answers_are_any_text(prompt: Prompt, calls: ToolFormat | None) -> None:
    assert decided(prompt, calls, THINK) is None


def test_raw_text_is_constrained_from_its_beginning() -> None:
    assert decided(TextPrompt("x"), None, THINK, grammar=YES) == Constraint(param="field", answer=YES)


@pytest.mark.parametrize("opened", [True, False])
def test_the_answer_of_a_chat_is_constrained_after_its_thought(opened: bool) -> None:
    assert decided(chat(), None, THINK, grammar=YES, opened=opened) == Constraint(
        param="field", answer=YES, thought=Thought(is_open=opened)
    )
    assert decided(chat(), grammar=YES) == Constraint(param="field", answer=YES)


def test_the_answer_is_only_the_required_call() -> None:
    required = json_calls(LOOSE, choice=REQUIRED)
    expected = Constraint(param="tools", calls=required, thought=Thought())
    assert decided(chat(LOOSE, choice=REQUIRED), GENERIC_TOOLS, THINK, grammar=YES) == expected


def test_strict_functions_constrain_calls_that_the_model_chooses_to_make() -> None:
    other = Tool("other", parameters={"type": "object", "required": ["x"]})
    expected = Constraint(param="tools", calls=json_calls(STRICT, Tool("other", parameters={"type": "object"})))
    assert decided(chat(STRICT, other), GENERIC_TOOLS) == expected


def test_answers_and_calls_are_the_models_choice() -> None:
    assert decided(chat(STRICT), GENERIC_TOOLS, grammar=YES) == Constraint(
        param="field", answer=YES, calls=json_calls(STRICT)
    )
    assert decided(chat(LOOSE), GENERIC_TOOLS, grammar=YES) == Constraint(
        param="field", answer=YES, calls=json_calls(ANY_OBJECT)
    )
    free = Calls(markup=ToolMarkup(begin="<tool_call>", end=""), tools=(), choice=AUTO)
    assert decided(chat(LOOSE), QWEN, grammar=YES) == Constraint(param="field", answer=YES, calls=free)


def test_in_a_format_of_channels_the_answer_is_constrained_after_its_marker() -> None:
    expected = Constraint(param="field", answer=YES, start_after="<|channel|>final<|message|>")
    assert decided(chat(), None, HARMONY, grammar=YES) == expected
    assert decided(chat(LOOSE), make_tool_format("harmony", None), HARMONY, grammar=YES) == expected


@pytest.mark.parametrize(("prompt", "param"), [(chat(LOOSE, choice=REQUIRED), "tool_choice"), (chat(STRICT), "tools")])
def test_in_a_format_of_channels_calls_cannot_be_constrained(prompt: ChatPrompt, param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        decided(prompt, GENERIC_TOOLS, HARMONY)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("tool", "grammar", "param"), [(STRICT, None, "tools"), (STRICT, YES, "field"), (LOOSE, YES, "field")]
)
def test_calls_without_a_marker_cannot_be_constrained(tool: Tool, grammar: Any, param: str) -> None:
    bare = ToolFormat(name="bare", start=" ", end="", parse=None)
    with pytest.raises(UnsupportedParameter, match="no marker") as caught:
        decided(chat(tool), bare, grammar=grammar)
    assert caught.value.param == param
    assert decided(chat(tool, choice=REQUIRED), bare, grammar=grammar) is not None


BARE = ToolFormat(name="bare", start=" ", end="", parse=None)


@pytest.mark.parametrize(
    ("prompt", "calls", "reasoning", "paths"),
    [
        (chat(LOOSE, choice=REQUIRED), GENERIC_TOOLS, HARMONY, ("tool_choice",)),
        (chat(LOOSE, STRICT), GENERIC_TOOLS, HARMONY, ("tools[1].function.strict",)),
        (chat(STRICT), BARE, None, ("tools[0].function.strict",)),
    ],
)
def test_what_a_format_cannot_hold_is_given_up(
    prompt: ChatPrompt, calls: ToolFormat, reasoning: Any, paths: tuple[str, ...]
) -> None:
    free, given_up = relaxed(prompt, calls, reasoning)
    assert given_up == paths
    assert isinstance(free, ChatPrompt)
    assert (free.tool_choice.mode, [tool.strict for tool in free.tools]) == ("auto", [False] * len(prompt.tools))
    assert decided(free, calls, reasoning) is None


@pytest.mark.parametrize(
    ("prompt", "calls", "reasoning"),
    [
        (chat(LOOSE), GENERIC_TOOLS, HARMONY),
        (chat(LOOSE, choice=ToolChoice("required", LOOSE.name)), GENERIC_TOOLS, HARMONY),
        (chat(STRICT), GENERIC_TOOLS, THINK),
        (chat(STRICT, choice=REQUIRED), BARE, None),
        (chat(STRICT), None, HARMONY),
        (TextPrompt("x"), GENERIC_TOOLS, HARMONY),
    ],
)
def test_everything_else_is_held_or_refused(prompt: Prompt, calls: ToolFormat | None, reasoning: Any) -> None:
    assert relaxed(prompt, calls, reasoning) == (prompt, ())


def test_calls_that_follow_a_schema_are_json() -> None:
    assert QWEN is not None
    own = make_tool_format("json_tools", None)
    assert own is not None
    for prompt in (chat(STRICT), chat(LOOSE, choice=REQUIRED), chat(STRICT, choice=ToolChoice(name="now"))):
        assert call_format(prompt, QWEN) is GENERIC_TOOLS
        assert call_format(prompt, own) is own
    for prompt in (chat(LOOSE), chat(STRICT, Tool("other"), choice=ToolChoice(name="other"))):
        assert call_format(prompt, QWEN) is QWEN
