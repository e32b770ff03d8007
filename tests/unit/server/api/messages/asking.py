"""Requests of the Messages API, and what of them reaches the model."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.messages.request import MessagesRequest
from providers.chat.types import (
    ChatPrompt,
    GenerationRequest,
)
from providers.errors import InvalidRequest
from server.api.messages.request import to_message_generation
from server.noted import noting
from server.serialization import converter
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import Exchange, ask, make_app

PATH = "/v1/messages"
BODY: dict[str, Any] = {"model": "claude", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
READ = {"name": "Read", "description": "Read a file", "input_schema": SCHEMA}


def translate(**fields: Any) -> GenerationRequest:
    return to_message_generation(converter.structure({**BODY, **fields}, MessagesRequest), id="req_1")


def prompt(**fields: Any) -> ChatPrompt:
    asked = translate(**fields).prompt
    assert isinstance(asked, ChatPrompt)
    return asked


def noted(**fields: Any) -> list[str]:
    """The names of what has no effect."""
    with noting() as found:
        translate(**fields)
    return [*found.names]


def refused(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        translate(**fields)
    return caught.value


def returned(*content: dict[str, Any]) -> list[dict[str, Any]]:
    """A conversation in which a tool returned this."""
    used = {"type": "tool_use", "id": "t1", "name": "Read", "input": {}}
    return [
        *BODY["messages"],
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [*content]}]},
    ]


async def asked_with(answer: FakeChat, **fields: Any) -> Exchange:
    return await ask(make_app(answer), path=PATH, json={**BODY, **fields})


def events(exchange: Exchange) -> list[dict[str, Any]]:
    """The events, each under its own name."""
    read = []
    for block in exchange.body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        read.append(event)
    return read
