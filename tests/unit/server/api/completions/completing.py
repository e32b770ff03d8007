"""Completions of a model that shouts, and the texts of their streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from contracts.completions import CompletionRequest
from providers.chat.types import (
    Accepted,
    Finished,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    Usage,
)
from server.api.completions.request import to_generation_requests
from server.serialization import converter
from tests.unit.server.fakes import FakeChat, prompt_text
from tests.unit.server.harness import Exchange, ask, make_app

PATH = "/v1/completions"
BODY: dict[str, Any] = {"model": "any", "prompt": "Once"}


async def shout(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    """Every answer is the prompt in capitals and its number, in two pieces."""
    text = prompt_text(request.prompt)
    yield Accepted(len(text), 1)
    for index in range(request.n):
        yield TextDelta(text.upper(), index=index)
    for index in range(request.n):
        yield TextDelta(str(index), index=index)
        yield Finished("length", Usage(len(text), 2, 1), prefill_seconds=0, decode_seconds=0, index=index)


async def complete(chat: FakeChat | None = None, **fields: Any) -> Exchange:
    return await ask(make_app(chat or FakeChat(script=shout)), path=PATH, json={**BODY, **fields})


def translate(**fields: Any) -> list[GenerationRequest]:
    return to_generation_requests(converter.structure({**BODY, **fields}, CompletionRequest), id="id")


def texts(exchange: Exchange) -> dict[int, str]:
    """The text of each choice of a stream. Each choice must end once, without text after its end."""
    read: dict[int, str] = {}
    finished: set[int] = set()
    for choice in [choice for chunk in exchange.chunks for choice in chunk["choices"]]:
        assert choice["index"] not in finished
        read[choice["index"]] = read.get(choice["index"], "") + choice["text"]
        if choice["finish_reason"]:
            finished.add(choice["index"])
    assert finished == read.keys()
    return read
