"""Tools and past calls in the prompt: in the form that the chat template takes, or as text if it takes none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from providers.chat.types import ChatPrompt, Tool
from providers.engines.output.markup import GENERIC_TOOLS, ToolFormat
from providers.engines.structured.decision import call_format
from providers.errors import InvalidRequest, UnsupportedParameter

__all__ = ["ToolPlan", "ToolPrompter", "callable_tools", "generic_instructions", "tools_for_template"]

Message = Mapping[str, Any]

_CALL_ID = "call_" + 24 * "0"
_PROBE = Tool(
    name="probe_tool",
    description="probe",
    parameters={
        "type": "object",
        "properties": {"probe_argument": {"type": "string", "description": "probe"}},
        "required": ["probe_argument"],
    },
)
_QUESTION: Message = {"role": "user", "content": "a question"}
_PAST: list[Message] = [
    _QUESTION,
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": _CALL_ID,
                "type": "function",
                "function": {"name": _PROBE.name, "arguments": '{"probe_argument": "probe value"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": _CALL_ID, "name": _PROBE.name, "content": "probe result"},
]

_INSTRUCTIONS = """\
You can call functions. These are the functions, one a line, with the JSON schema of their arguments:
<tools>
{tools}
</tools>

To call a function, write its name and its arguments as JSON between {start} and {end}, and stop:
{start}
{{"name": "function_name", "arguments": {{"argument_name": "value"}}}}
{end}
{several} The result comes in the next message, between <tool_response> and </tool_response>. \
{choice}"""


def tools_for_template(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Tools in OpenAI's form, which chat templates take. Every function has a description and parameters, since
    templates concatenate the former and iterate over the latter. PHP writes no properties as an empty array."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description or "",
                "parameters": _with_properties(tool.parameters or {}),
            },
        }
        for tool in tools
    ]


def _with_properties(parameters: Mapping[str, Any]) -> dict[str, Any]:
    described = {"type": "object", "properties": {}, **parameters}
    return described if described["properties"] else {**described, "properties": {}}


def callable_tools(prompt: ChatPrompt) -> list[Tool]:
    """The tools that the answer may call: all, the named one, or none.

    Raises:
        InvalidRequest: a call is required but there are no tools, or not the named one; or two tools have the same
            name.
    """
    choice = prompt.tool_choice
    names = [tool.name for tool in prompt.tools]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InvalidRequest(f"two tools are named {name!r}", param=f"tools[{number}].function.name")
    if choice.mode == "none":
        return []
    if choice.mode == "required" and not names:
        raise InvalidRequest("tool_choice requires a call, but there are no tools", param="tool_choice")
    if choice.name is None:
        return list(prompt.tools)
    if choice.name not in names:
        raise InvalidRequest(f"tool_choice names {choice.name!r}, which is not one of the tools", param="tool_choice")
    return [tool for tool in prompt.tools if tool.name == choice.name]


@attrs.frozen(kw_only=True)
class ToolPlan:
    """The messages and tools of one request, in the form that the model takes, and the form of the calls."""

    messages: list[dict[str, Any]]
    """For the chat template."""
    tools: list[dict[str, Any]] | None
    """For the chat template; None: it gets none."""
    callable: list[Tool]
    """The functions that the answer may call."""
    format: ToolFormat | None
    """The format of the answer's calls; None: there are none."""


@attrs.frozen
class _Shape:
    """The form of past calls that one template expects."""

    arguments: Literal["object", "text"]
    ids: Literal["as they are", "nine", "numbered"]
    """`nine`: nine letters and digits (Mistral's templates refuse others); `numbered`: `functions.NAME:0` (Kimi's)."""


class ToolPrompter:
    """Puts tools and past calls into the form that one model's template takes.

    The form is found by rendering: the description of a tool, the arguments of a past call and its result must appear
    in the prompt. What the template does not render is written into the messages.
    """

    def __init__(self, tokenizer: Any, format: ToolFormat | None) -> None:
        """`tokenizer`: mlx-lm's `TokenizerWrapper`. `format`: of `make_tool_format`."""
        self._tokenizer = tokenizer
        uses = bool(tokenizer.has_chat_template) and _PROBE.name in self._rendered([_QUESTION], [_PROBE])
        self.native = uses and format is not None and format.native
        """Whether the template describes the tools, in the words with which the model was trained."""
        self.format = _effective(format, native=self.native)
        """The format of this model's calls; None: it cannot call."""
        numbered = format is not None and format.name == "kimi_k2"
        self._shape = self._find_shape([_PROBE] if self.native else [], numbered=numbered)

    def _find_shape(self, tools: Sequence[Tool], *, numbered: bool) -> _Shape | None:
        if not self._tokenizer.has_chat_template:
            return None
        ids: tuple[Literal["as they are", "nine", "numbered"], ...] = ("as they are", "nine")
        shapes = (_Shape("object", "numbered" if numbered else one) for one in ids)
        for shape in (*shapes, *(_Shape("text", one) for one in ids)):
            text = self._rendered(_in_shape(_PAST, shape), tools)
            if "probe value" in text and "probe result" in text:
                return shape
        return None

    def _rendered(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        options = {"tools": tools_for_template(tools)} if tools else {}
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [dict(message) for message in messages], tokenize=False, add_generation_prompt=True, **options
                )
            )
        except Exception:
            # Templates raise any exception; that this one refuses is all that matters here.
            return ""

    def plan(self, messages: Sequence[Message], prompt: ChatPrompt) -> ToolPlan:
        """The form of this prompt's messages and tools. `messages`: those of the prompt, as dicts with string content.

        Calls that follow a schema are JSON (`call_format`): a model whose own format is another writes the generic one,
        which under `auto` the messages describe. With `tool_choice` none the prompt mentions no tools.

        Raises:
            InvalidRequest: as `callable_tools`.
            UnsupportedParameter: there are tools, but this model's calls are not read (`--tool-call-parser none`).
        """
        allowed = callable_tools(prompt)
        if not allowed:
            past = self._past(messages, as_text=False)
            return ToolPlan(messages=past, tools=None, callable=[], format=None)
        if self.format is None:
            raise UnsupportedParameter("this model is served without a tool call parser", param="tools")
        format = call_format(prompt, self.format)
        native = self.native and (prompt.tool_choice.mode == "required" or format is self.format)
        past = self._past(messages, as_text=not native)
        return ToolPlan(
            messages=past if native else _with_system(past, generic_instructions(prompt, format)),
            tools=tools_for_template(prompt.tools) if native else None,
            callable=allowed,
            format=format,
        )

    def _past(self, messages: Sequence[Message], *, as_text: bool) -> list[dict[str, Any]]:
        if self._shape is not None and not as_text:
            return _in_shape(messages, self._shape)
        format = self.format if self.format is not None and self.format.is_json else GENERIC_TOOLS
        return list(_as_text(messages, format))


def _effective(format: ToolFormat | None, *, native: bool) -> ToolFormat | None:
    """The format that the prompt asks for: the generic prompt asks for JSON, in the model's own markers if those are
    for JSON."""
    return format if format is None or native or format.is_json else GENERIC_TOOLS


def generic_instructions(prompt: ChatPrompt, format: ToolFormat = GENERIC_TOOLS) -> str:
    """System-prompt text describing the tools, for models whose template does not support them."""
    choice = prompt.tool_choice
    if choice.name is not None:
        ending = f"Now call the function {choice.name}."
    elif choice.mode == "required":
        ending = "Now call a function."
    else:
        ending = "If no function helps, answer in plain words."
    several = "Several calls are several such blocks." if choice.parallel else "Write one such block at most."
    described = (json.dumps(_described(tool), ensure_ascii=False) for tool in prompt.tools)
    return _INSTRUCTIONS.format(
        tools="\n".join(described), start=format.start, end=format.end, several=several, choice=ending
    )


def _described(tool: Tool) -> dict[str, Any]:
    described = {"name": tool.name, "description": tool.description, "parameters": tool.parameters or {}}
    return {key: value for key, value in described.items() if value is not None}


def _with_system(messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The messages with this text at the end of the system message, which is added if there is none."""
    if messages and messages[0]["role"] in ("system", "developer"):
        first = messages[0]
        content = "\n\n".join(filter(None, (first["content"], text)))
        return [{**first, "content": content}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


# ── past calls ──────────────────────────────────────────────────────────────────────────────────────────────────


def _in_shape(messages: Sequence[Message], shape: _Shape) -> list[dict[str, Any]]:
    """The messages with every past call and its result in the form that the template expects."""
    ids: dict[str, str] = {}
    shaped = []
    for message in messages:
        turn = dict(message)
        if turn.get("tool_calls"):
            turn["tool_calls"] = [_shaped_call(call, shape, ids) for call in turn["tool_calls"]]
        if turn.get("tool_call_id") is not None:
            turn["tool_call_id"] = ids.get(turn["tool_call_id"], turn["tool_call_id"])
        shaped.append(turn)
    return shaped


def _shaped_call(call: Mapping[str, Any], shape: _Shape, ids: dict[str, str]) -> dict[str, Any]:
    name, arguments = _called(call)
    id = str(call.get("id") or "")
    if shape.ids == "nine" and not (len(id) == 9 and id.isalnum()):
        ids[id] = hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[:9]
    elif shape.ids == "numbered" and not id.startswith("functions."):
        ids[id] = f"functions.{name}:{len(ids)}"
    given = arguments if shape.arguments == "object" else json.dumps(arguments, ensure_ascii=False)
    function = {"name": name, "arguments": given}
    return {**call, "id": ids.get(id, id), "type": "function", "function": function}


def _called(call: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(name, arguments) of a past call. Arguments that are not a JSON object become one argument `raw`: after invalid
    arguments the conversation must be able to go on, and the model must see what it wrote."""
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        text = arguments
        try:
            arguments = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError):
            arguments = {"raw": text}
    if arguments is None:
        arguments = {}
    return str(function.get("name") or ""), arguments if isinstance(arguments, dict) else {"raw": arguments}


def _as_text(messages: Sequence[Message], format: ToolFormat) -> Iterator[dict[str, Any]]:
    """The messages with past calls written out in this format, and their results in user turns."""
    results: list[str] = []
    for message in messages:
        if message["role"] in ("tool", "function"):
            results.append(f"<tool_response>\n{_result(message)}\n</tool_response>")
            continue
        if results:
            yield {"role": "user", "content": "\n".join(results)}
            results = []
        turn = {key: value for key, value in message.items() if key not in ("tool_calls", "tool_call_id")}
        calls = [_written(call, format) for call in message.get("tool_calls") or ()]
        if calls:
            turn["content"] = "\n".join(filter(None, (turn.get("content"), *calls)))
        yield turn
    if results:
        yield {"role": "user", "content": "\n".join(results)}


def _written(call: Mapping[str, Any], format: ToolFormat) -> str:
    name, arguments = _called(call)
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"{format.start}\n{body}\n{format.end}"


def _result(message: Message) -> str:
    content = str(message.get("content") or "")
    name = message.get("name")
    return json.dumps({"name": name, "content": content}, ensure_ascii=False) if name else content
