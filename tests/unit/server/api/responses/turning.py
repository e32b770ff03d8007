"""Items of a conversation, and the turns that they become."""

from __future__ import annotations

from typing import Any

from contracts.responses.items import (
    StoredItem,
)
from contracts.responses.request import CreateResponse
from providers.chat.types import ChatMessage
from server.api.responses.conversation import input_items, to_turns
from server.serialization import converter
from tests.unit.server.api.responses.scripts import BODY


def items(*given: Any) -> list[StoredItem]:
    request = converter.structure({**BODY, "input": [*given]}, CreateResponse)
    return input_items(request.input, {}, response_id="resp_1")


def turns(*given: Any, instructions: str | None = None) -> list[ChatMessage]:
    return to_turns(items(*given), instructions=instructions)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def thought(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


def call(id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": "f", "arguments": arguments}


def output(id: str, value: Any = "1") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": value}


def made(id: str, arguments: Any = None) -> dict[str, Any]:
    function = {"name": "f", "arguments": {} if arguments is None else arguments}
    return {"id": id, "type": "function", "function": function}
