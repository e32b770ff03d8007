"""The events of a streamed response, in the order in which they come.

    response.created
    response.in_progress
    for each item:
        response.output_item.added
        thinking:        response.content_part.added, response.reasoning_text.delta …, response.reasoning_text.done,
                         response.content_part.done
        text:            response.content_part.added, response.output_text.delta …, response.output_text.done,
                         response.content_part.done
        function call:   response.function_call_arguments.delta …, response.function_call_arguments.done
        response.output_item.done
    response.completed | response.incomplete | response.failed

`error` stands alone: it ends a stream that failed before its response was created. `sequence_number` counts from 0.
"""

from __future__ import annotations

from typing import Literal

import attrs

from contracts._fields import EXPLICIT_NULL
from contracts.responses.items import LogProb, OutputItem, OutputTextContent, ReasoningTextContent
from contracts.responses.response import Response

__all__ = [
    "ResponseContentPartAddedEvent",
    "ResponseContentPartDoneEvent",
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


@attrs.frozen(kw_only=True)
class ResponseLifecycleEvent:
    """The response began, or ended; it is all there, as far as it has come."""

    type: Literal[
        "response.created", "response.in_progress", "response.completed", "response.incomplete", "response.failed"
    ]
    response: Response
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseOutputItemAddedEvent:
    """An item begins, empty."""

    type: Literal["response.output_item.added"] = "response.output_item.added"
    output_index: int
    item: OutputItem
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseOutputItemDoneEvent:
    """An item is as it stays."""

    type: Literal["response.output_item.done"] = "response.output_item.done"
    output_index: int
    item: OutputItem
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseContentPartAddedEvent:
    """A part of an item begins, empty."""

    type: Literal["response.content_part.added"] = "response.content_part.added"
    item_id: str
    output_index: int
    content_index: int
    part: OutputTextContent | ReasoningTextContent
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseContentPartDoneEvent:
    """A part of an item is as it stays."""

    type: Literal["response.content_part.done"] = "response.content_part.done"
    item_id: str
    output_index: int
    content_index: int
    part: OutputTextContent | ReasoningTextContent
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseTextDeltaEvent:
    """Text to append."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[LogProb] = attrs.field(factory=list)
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseTextDoneEvent:
    """All of a part's text."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[LogProb] = attrs.field(factory=list)
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseReasoningTextDeltaEvent:
    """Thinking to append."""

    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    item_id: str
    output_index: int
    content_index: int
    delta: str
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseReasoningTextDoneEvent:
    """All of a thought."""

    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    item_id: str
    output_index: int
    content_index: int
    text: str
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseFunctionCallArgumentsDeltaEvent:
    """Part of a call's arguments, to append."""

    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    item_id: str
    output_index: int
    delta: str
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseFunctionCallArgumentsDoneEvent:
    """All of a call's arguments."""

    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    item_id: str
    output_index: int
    name: str
    arguments: str
    sequence_number: int


@attrs.frozen(kw_only=True)
class ResponseErrorEvent:
    """The request failed before its response began."""

    type: Literal["error"] = "error"
    code: str
    message: str
    param: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    sequence_number: int


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
    | ResponseErrorEvent
)
