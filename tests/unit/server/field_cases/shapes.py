"""Bodies of chats as clients in the field send them, and the request that the engine gets."""

from __future__ import annotations

from typing import Any

from providers.chat.types import GenerationRequest, ToolChoice
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, Exchange, ask, make_app

ABSENT: Any = object()
"""The value of a field to leave out of the body."""
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SAVE = {"type": "function", "function": {"name": "save", "parameters": CITY}}
TOOLS = [SAVE, {"type": "function", "function": {"name": "load"}}]
CALL_SAVE = ToolChoice("required", "save")
GO_ON = {"role": "user", "content": "Go on"}


def turns(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x"}, *messages]}


def call(**fields: Any) -> dict[str, Any]:
    """An assistant's turn with one call of `w`."""
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "w", **fields.pop("of", {})}, **fields}],
    }


def result(**fields: Any) -> dict[str, Any]:
    return {"role": "tool", "content": "3 C", **fields}


async def asked(fields: dict[str, Any], path: str = "/v1/chat/completions") -> tuple[Exchange, FakeChat]:
    chat = FakeChat()
    body = {name: value for name, value in {**BODY, **fields}.items() if value is not ABSENT}
    return await ask(make_app(chat), path=path, json=body), chat


def at(request: GenerationRequest, path: str) -> Any:
    """The value at `sampling.seed` or `prompt.messages.0.content`."""
    value: Any = request
    for name in path.split("."):
        value = value[int(name)] if name.isdigit() else value[name] if isinstance(value, dict) else getattr(value, name)
    return value
