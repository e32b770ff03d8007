"""The events of a streamed response, in their order.

    response.created
    response.in_progress
    for each item:
        response.output_item.added
        reasoning:       response.content_part.added, response.reasoning_text.delta …, response.reasoning_text.done,
                         response.content_part.done
        text:            response.content_part.added, response.output_text.delta …, response.output_text.done,
                         response.content_part.done
        function call:   response.function_call_arguments.delta …, response.function_call_arguments.done
        custom call:     response.custom_tool_call_input.delta …, response.custom_tool_call_input.done
        response.output_item.done
    response.completed | response.incomplete | response.failed

`error` ends a stream that failed before `response.created`. `sequence_number` counts from 0.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from contracts._fields import EXPLICIT_NULL
from contracts.responses.items import LogProb, OutputItem, OutputTextContent, ReasoningTextContent
from contracts.responses.response import Response

__all__ = [
    "ResponseContentPartAddedEvent",
    "ResponseContentPartDoneEvent",
    "ResponseCustomToolCallInputDeltaEvent",
    "ResponseCustomToolCallInputDoneEvent",
    "ResponseErrorEvent",
    "ResponseFunctionCallArgumentsDeltaEvent",
    "ResponseFunctionCallArgumentsDoneEvent",
    "ResponseLifecycleEvent",
    "ResponseOutputItemAddedEvent",
    "ResponseOutputItemDoneEvent",
    "ResponseReasoningTextDeltaEvent",
    "ResponseReasoningTextDoneEvent",
    "ResponseStreamEvent",
    "ResponseTextDeltaEvent",
    "ResponseTextDoneEvent",
]


def _in_wire_order(_: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """OpenAI's order of keys: `type`, the place of the event, its content, and its number."""
    places = {"type": 0, "item_id": 1, "output_index": 2, "content_index": 3, "sequence_number": 5}
    return sorted(fields, key=lambda field: places.get(field.name, 4))


@attrs.frozen(kw_only=True)
class _Event:
    """The base of all events. Numbers count from 0 in each stream."""

    sequence_number: int


@attrs.frozen(kw_only=True)
class _OutputEvent(_Event):
    """An event of one output item."""

    output_index: int


@attrs.frozen(kw_only=True)
class _ItemEvent(_OutputEvent):
    """An event that names its item."""

    item_id: str


@attrs.frozen(kw_only=True)
class _PartEvent(_ItemEvent):
    """An event of one content part of an item."""

    content_index: int


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseLifecycleEvent(_Event):
    """The response began, progressed or ended. It is complete up to this event."""

    type: Literal[
        "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
    ]
    response: Response


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseOutputItemAddedEvent(_OutputEvent):
    """The start of an item, which is still empty."""

    type: Literal["response.output_item.added"] = "response.output_item.added"
    item: OutputItem


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseOutputItemDoneEvent(_OutputEvent):
    """A complete item."""

    type: Literal["response.output_item.done"] = "response.output_item.done"
    item: OutputItem


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseContentPartAddedEvent(_PartEvent):
    """The start of a content part, which is still empty."""

    type: Literal["response.content_part.added"] = "response.content_part.added"
    part: OutputTextContent | ReasoningTextContent


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseContentPartDoneEvent(_PartEvent):
    """A complete content part."""

    type: Literal["response.content_part.done"] = "response.content_part.done"
    part: OutputTextContent | ReasoningTextContent


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseTextDeltaEvent(_PartEvent):
    """Text to append."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    delta: str
    logprobs: list[LogProb] = attrs.field(factory=list)


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseTextDoneEvent(_PartEvent):
    """The whole text of a part."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    text: str
    logprobs: list[LogProb] = attrs.field(factory=list)


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseReasoningTextDeltaEvent(_PartEvent):
    """Reasoning text to append."""

    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    delta: str


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseReasoningTextDoneEvent(_PartEvent):
    """The whole reasoning text of a part."""

    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    text: str


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseFunctionCallArgumentsDeltaEvent(_ItemEvent):
    """Part of a call's arguments, to append."""

    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    delta: str


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseFunctionCallArgumentsDoneEvent(_ItemEvent):
    """The whole arguments of a call."""

    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    name: str
    arguments: str


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseCustomToolCallInputDeltaEvent(_ItemEvent):
    """Part of a custom call's input, to append."""

    type: Literal["response.custom_tool_call_input.delta"] = "response.custom_tool_call_input.delta"
    delta: str


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseCustomToolCallInputDoneEvent(_ItemEvent):
    """The whole input of a custom call."""

    type: Literal["response.custom_tool_call_input.done"] = "response.custom_tool_call_input.done"
    input: str


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseErrorEvent(_Event):
    """The request failed before its response was created."""

    type: Literal["error"] = "error"
    code: str
    message: str
    param: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)


ResponseStreamEvent = (
    ResponseLifecycleEvent
    | ResponseOutputItemAddedEvent
    | ResponseOutputItemDoneEvent
    | ResponseContentPartAddedEvent
    | ResponseContentPartDoneEvent
    | ResponseTextDeltaEvent
    | ResponseTextDoneEvent
    | ResponseReasoningTextDeltaEvent
    | ResponseReasoningTextDoneEvent
    | ResponseFunctionCallArgumentsDeltaEvent
    | ResponseFunctionCallArgumentsDoneEvent
    | ResponseCustomToolCallInputDeltaEvent
    | ResponseCustomToolCallInputDoneEvent
    | ResponseErrorEvent
)
