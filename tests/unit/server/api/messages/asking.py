"""Requests of the Messages API, and what of them reaches the model."""

from __future__ import annotations

from typing import Any

import msgspec

from providers.chat.types import (
    ChatPrompt,
    GenerationRequest,
)
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import Exchange, ask, make_app

PATH = "/v1/messages"
BODY: dict[str, Any] = {"model": "claude", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
READ = {"name": "Read", "description": "Read a file", "input_schema": SCHEMA}


async def translate(**fields: Any) -> GenerationRequest:
    chat = FakeChat()
    answer = await ask(make_app(chat), path=PATH, json={**BODY, **fields})
    assert answer.status == 200, answer.body
    (request,) = chat.requests
    return request


async def prompt(**fields: Any) -> ChatPrompt:
    asked = (await translate(**fields)).prompt
    assert isinstance(asked, ChatPrompt)
    return asked


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
