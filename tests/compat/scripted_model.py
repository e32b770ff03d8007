"""A model that answers right: by rules instead of weights.

It calls the tool that the prompt calls for, fills its arguments from the prompt, writes JSON that a schema accepts, and
answers everything else by repeating the question. With it, a judge's failure is a fault of the server's wire, never of
a small model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import attrs

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    Grammar,
    JsonObjectGrammar,
    JsonSchemaGrammar,
    Prompt,
    TextPrompt,
    Tool,
)

__all__ = ["Call", "Reply", "reply"]

_QUOTED = re.compile(r"['\"“]([^'\"”]+)['\"”]")
_PLACE = re.compile(r"\b(?:in|for|of) ((?:[A-Z][\w.-]*)(?: [A-Z][\w.-]*)*)")
_PATH = re.compile(r"(?<!\S)/[\w./-]*\w")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
"""What Claude Code adds to the user's words."""
_STEM = 4
"""Letters that a word of a tool's name or description needs to be looked for in the prompt."""
_SUM = re.compile(r"(\d+) ?\+ ?(\d+)")
_FACTS = {"capital of France": "Paris"}
"""What judges ask a model to know."""
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "email": "ada@example.org",
    "uri": "https://example.org",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@attrs.frozen
class Call:
    """One call of a tool. `arguments` is JSON."""

    name: str
    arguments: str


@attrs.frozen
class Reply:
    """Text, or calls."""

    text: str = ""
    calls: tuple[Call, ...] = ()


def reply(prompt: Prompt, grammar: Grammar | None) -> Reply:
    """What a model that understands its prompt answers."""
    if not isinstance(prompt, ChatPrompt):
        return Reply(f"You said: {prompt.text if isinstance(prompt, TextPrompt) else prompt.tokens}")
    messages = [message for message in prompt.messages if message.role != "system"]
    asked = next((message.content or "" for message in reversed(messages) if message.role == "user"), "")
    asked = _REMINDER.sub("", asked)
    result = _result(messages)
    tools = _called(prompt, asked, answered=result is not None)
    if tools:
        return Reply(calls=tuple(call for tool in tools for call in _calls(tool, asked, prompt.tool_choice.parallel)))
    if isinstance(grammar, JsonSchemaGrammar):
        return Reply(json.dumps(_Example(grammar.schema, asked).value(), ensure_ascii=False))
    if isinstance(grammar, JsonObjectGrammar):
        keys = _QUOTED.findall(asked) or ["answer"]
        return Reply(json.dumps(dict.fromkeys(keys, "text"), ensure_ascii=False))
    if result is not None:
        return Reply(f"The tool answered: {result}")
    if found := _SUM.search(asked):
        return Reply(str(int(found[1]) + int(found[2])))
    return Reply(next((answer for fact, answer in _FACTS.items() if fact in asked), f"You said: {asked}"))


def _result(messages: list[ChatMessage]) -> str | None:
    """The last result of the turn before this one; None where that turn called nothing.

    Agents may append text of their own after the results.
    """
    for message in reversed(messages):
        if message.role in ("tool", "assistant"):
            return message.content or "" if message.role == "tool" else None
    return None


def _called(prompt: ChatPrompt, asked: str, *, answered: bool) -> list[Tool]:
    """The tools to call; none where text is the right answer."""
    choice = prompt.tool_choice
    if choice.mode == "none" or not prompt.tools:
        return []
    if choice.mode == "auto" and answered:
        return []
    if choice.name is not None:
        return [tool for tool in prompt.tools if tool.name == choice.name]
    fitting = [tool for tool in prompt.tools if _mentions(asked, tool.name)]
    if not fitting:
        fitting = [tool for tool in prompt.tools if _mentions(asked, tool.description or "")][:1]
    if not fitting and (choice.mode == "required" or "tool" in asked or _NUMBER.search(asked)):
        fitting = prompt.tools[:1]
    return fitting if choice.parallel else fitting[:1]


def _mentions(asked: str, text: str) -> bool:
    """Whether the prompt has a tool's name or description, or words that begin as a long one of its words."""
    words = [word for word in re.split(r"[^a-zA-Z]+", text) if len(word) >= _STEM]
    return (text != "" and text in asked) or any(re.search(rf"\b{word}", asked, re.IGNORECASE) for word in words)


def _calls(tool: Tool, asked: str, parallel: bool) -> Iterator[Call]:
    """One call; one per place where the tool takes only a place and calls may be parallel."""
    schema = tool.parameters or {"type": "object"}
    properties = [*schema.get("properties", {})]
    places = _PLACE.findall(asked)
    if parallel and len(properties) == 1 and len(places) > 1 and properties[0] in ("city", "location"):
        for place in places:
            yield Call(tool.name, json.dumps({properties[0]: place}))
        return
    yield Call(tool.name, json.dumps(_Example(schema, asked).value(), ensure_ascii=False))


class _Example:
    """A value that a JSON schema accepts, with what the prompt offers: its numbers in order, its quotes, its places."""

    def __init__(self, schema: dict[str, Any] | bool, asked: str) -> None:
        self._root = schema
        self._asked = asked
        self._numbers = iter(_NUMBER.findall(asked))

    def value(self) -> Any:
        return self._of(self._root)

    def _of(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return {}
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            named = (value for value in schema["enum"] if isinstance(value, str) and value in self._asked)
            return next(named, schema["enum"][0])
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next(each for each in kind if each != "null")
        return getattr(self, f"_{kind}")(schema)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Follow references and the first branch that is not null."""
        while True:
            if "$ref" in schema:
                place: Any = self._root
                for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
                    place = place[step] if step else place
                schema = place
            elif branches := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
                schema = next(branch for branch in branches if branch.get("type") != "null")
            else:
                return schema

    def _object(self, schema: dict[str, Any]) -> dict[str, Any]:
        properties = schema.get("properties", {})
        return {name: self._of(properties.get(name, {})) for name in schema.get("required", properties)}

    def _array(self, schema: dict[str, Any]) -> list[Any]:
        return [self._of(schema.get("items", {"type": "string"})) for _ in range(schema.get("minItems", 1))]

    def _string(self, schema: dict[str, Any]) -> str:
        if "format" in schema:
            return _FORMATS.get(schema["format"], "text")
        if found := _QUOTED.search(self._asked) or _PLACE.search(self._asked):
            return found[1]
        found = _PATH.search(self._asked)
        return found[0] if found else "text"

    def _integer(self, schema: dict[str, Any]) -> int:
        return int(max(float(next(self._numbers, 1)), schema.get("minimum", float("-inf"))))

    def _number(self, schema: dict[str, Any]) -> float:
        return max(float(next(self._numbers, 1)), schema.get("minimum", float("-inf")))

    def _boolean(self, schema: dict[str, Any]) -> bool:
        return True

    def _null(self, schema: dict[str, Any]) -> None:
        return None
