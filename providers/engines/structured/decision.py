"""The constraint on the answers of one request, from the request and the model's formats."""

from __future__ import annotations

import msgspec

from providers.chat.types import ChatPrompt, GenerationRequest, Grammar, Prompt, Tool
from providers.engines.output.markup import GENERIC_TOOLS, ReasoningFormat, ToolFormat
from providers.engines.structured.constraint import Calls, Constraint, Thought, ToolMarkup
from providers.errors import UnsupportedParameter

__all__ = ["call_format", "decide", "relaxed"]


def call_format(prompt: ChatPrompt, format: ToolFormat) -> ToolFormat:
    """The format in which a model of this format calls the tools of this prompt: where calls are constrained, JSON."""
    return format if format.is_json or not _constrains_calls(prompt) else GENERIC_TOOLS


def relaxed(
    prompt: Prompt, calls: ToolFormat | None, reasoning: ReasoningFormat | None
) -> tuple[Prompt, tuple[str, ...]]:
    """The prompt without the demands on calls that the model's format cannot hold, and their paths.

    Most clients make these demands of every model: some call is required, or a function is strict. The model then calls
    as it was trained to. A demand for one named function stays, and is refused.
    """
    if not isinstance(prompt, ChatPrompt) or calls is None or not _constrains_calls(prompt):
        return prompt, ()
    choice, wraps = prompt.tool_choice, reasoning is not None and bool(reasoning.transitions)
    unmarked = choice.mode == "auto" and not call_format(prompt, calls).start.strip()
    if choice.name is not None or not (wraps or unmarked):
        return prompt, ()
    paths = ["tool_choice"] if choice.mode == "required" else []
    paths += [f"tools[{index}].function.strict" for index, tool in enumerate(prompt.tools) if tool.strict]
    tools = [msgspec.structs.replace(tool, strict=False) for tool in prompt.tools]
    free = msgspec.structs.replace(prompt, tools=tools, tool_choice=msgspec.structs.replace(choice, mode="auto"))
    return free, tuple(paths)


def decide(
    request: GenerationRequest, calls: ToolFormat | None, reasoning: ReasoningFormat | None, *, opened: bool
) -> Constraint | None:
    """The constraint of this request; None: any text.

    `calls`: format of the calls that the answer may make (`call_format`); None: it may make none. `opened`: the
    prompt ends inside a thought.

    Raises:
        UnsupportedParameter: answers or calls in the model's format cannot be constrained.
    """
    prompt, answer, param = request.prompt, request.grammar, request.grammar_param
    if not isinstance(prompt, ChatPrompt):
        return None if answer is None else Constraint(param=param, answer=answer)
    constrained = calls is not None and _constrains_calls(prompt)
    if required := constrained and prompt.tool_choice.mode == "required":
        answer = None
    if answer is None and not constrained:
        return None
    if reasoning is not None and reasoning.transitions:
        if constrained:
            raise _unconstrainable("calls", reasoning, "tool_choice" if required else "tools")
        return Constraint(param=param, answer=answer, start_after=_answer_marker(reasoning, param))
    return Constraint(
        param="tools" if answer is None else param,
        answer=answer,
        calls=None if calls is None else _checked(_calls(prompt, calls, constrained), answer, param),
        thought=None if reasoning is None else Thought(start=reasoning.start, end=reasoning.end, is_open=opened),
    )


def _constrains_calls(prompt: ChatPrompt) -> bool:
    """Whether calls follow their schemas: one is required, or a function that may be called is strict."""
    choice = prompt.tool_choice
    if choice.mode == "required":
        return True
    return choice.mode == "auto" and any(tool.strict for tool in prompt.tools if choice.name in (None, tool.name))


def _calls(prompt: ChatPrompt, format: ToolFormat, constrained: bool) -> Calls:
    choice = prompt.tool_choice
    if not (constrained or format.is_json):
        return Calls(markup=ToolMarkup(begin=format.start, end=""), tools=(), choice=choice)
    tools = prompt.tools if choice.mode == "required" else map(_as_chosen, prompt.tools)
    markup = ToolMarkup(begin=f"{format.start}\n", end=f"\n{format.end}")
    return Calls(markup=markup, tools=tuple(tools), choice=choice)


def _as_chosen(tool: Tool) -> Tool:
    """The tool where calling is the model's choice: then only strict functions constrain their arguments."""
    return tool if tool.strict else Tool(tool.name, parameters={"type": "object"})


def _checked(calls: Calls, answer: Grammar | None, param: str) -> Calls:
    """The calls, if a marker shows where they begin, or they do not need one."""
    if calls.choice.mode == "required" or calls.markup.begin.strip():
        return calls
    if answer is None:
        raise UnsupportedParameter("strict: no marker begins this model's calls", param="tools")
    raise UnsupportedParameter("no marker begins this model's calls", param=param)


def _answer_marker(reasoning: ReasoningFormat, param: str) -> str:
    """What opens the answer itself, in a format that wraps every part of it."""
    for marker, state in reasoning.transitions.get(reasoning.initial, ()):
        if state == "normal":
            return marker
    raise _unconstrainable("answers", reasoning, param)


def _unconstrainable(what: str, reasoning: ReasoningFormat, param: str) -> UnsupportedParameter:
    message = f"{param}: {what} cannot be constrained in this model's {reasoning.name} format"
    return UnsupportedParameter(message, param=param)
