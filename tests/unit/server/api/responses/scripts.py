"""Scripts for the tests of responses, and their streams as a client reads them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from providers.chat.types import (
    Accepted,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from tests.unit.server.fakes import Script
from tests.unit.server.harness import Exchange

PATH = "/v1/responses"
BODY: dict[str, Any] = {"model": "any", "input": "Hi"}
STREAM: dict[str, Any] = {**BODY, "stream": True}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}

CALL = (
    ToolCallDelta(0, id="call_1", name="get_weather"),
    ToolCallDelta(0, '{"city": '),
    ToolCallDelta(0, '"Paris"}'),
)
AGENT = (ReasoningDelta("Which "), ReasoningDelta("city?"), TextDelta("Let me "), TextDelta("look."), *CALL)
"""Reasoning, text and a call."""

_SDK_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def script(
    *deltas: GenerationEvent, reason: FinishReason = "stop", usage: Usage | None = None, stop: str | None = None
) -> Script:
    """A script that is accepted, yields these events, and ends for this reason."""

    async def run(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(5, 3)
        for delta in deltas:
            yield delta
        yield Finished(reason, usage or Usage(5, 2, 3, 1), prefill_seconds=0.1, decode_seconds=0.2, stop=stop)

    return run


def stream_events(answer: Exchange | bytes) -> list[dict[str, Any]]:
    """Every event of a stream, in the order of their numbers. The SDK's own types must accept them."""
    body = answer if isinstance(answer, bytes) else answer.body
    events = []
    for message in body.decode().split("\n\n"):
        lines = [line for line in message.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        name, data = lines
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        _SDK_EVENT.validate_python(event)
        events.append(event)
    assert [event["sequence_number"] for event in events] == [*range(len(events))]
    return events


def types(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]
