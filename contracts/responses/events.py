"""The events of a streamed response, in their order.

    response.created
    response.in_progress
    for each item:
        response.output_item.added
        file search:     response.file_search_call.in_progress, response.file_search_call.searching,
                         response.file_search_call.completed
        image:           response.image_generation_call.in_progress, response.image_generation_call.generating,
                         response.image_generation_call.partial_image …, response.image_generation_call.completed
        reasoning:       response.content_part.added, response.reasoning_text.delta …, response.reasoning_text.done,
                         response.content_part.done
        text:            response.content_part.added, response.output_text.delta …, each followed by a
                         response.output_text.annotation.added for every citation that it completes,
                         response.output_text.done, response.content_part.done
        function call:   response.function_call_arguments.delta …, response.function_call_arguments.done
        custom call:     response.custom_tool_call_input.delta …, response.custom_tool_call_input.done
        response.output_item.done
    response.completed | response.incomplete | response.failed

With speech, `response.audio.transcript.delta` and `response.audio.delta` come for each spoken piece, after the text
that it says; `response.audio.transcript.done` and `response.audio.done` come before the last item is done.

`error` ends a stream that failed before `response.created`. `sequence_number` counts from 0.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from contracts._fields import EXPLICIT_NULL
from contracts.responses.items import FileCitation, LogProb, OutputItem, OutputTextContent, ReasoningTextContent
from contracts.responses.response import Response
from contracts.speech import SpeechGesture, SpeechViseme, SpeechWord, UnspokenText

__all__ = [
    "FileSearchStep",
    "ImageCallStep",
    "ResponseAudioDeltaEvent",
    "ResponseAudioDoneEvent",
    "ResponseAudioTranscriptDeltaEvent",
    "ResponseAudioTranscriptDoneEvent",
    "ResponseContentPartAddedEvent",
    "ResponseContentPartDoneEvent",
    "ResponseCustomToolCallInputDeltaEvent",
    "ResponseCustomToolCallInputDoneEvent",
    "ResponseErrorEvent",
    "ResponseFileSearchCallEvent",
    "ResponseFunctionCallArgumentsDeltaEvent",
    "ResponseFunctionCallArgumentsDoneEvent",
    "ResponseImageGenCallEvent",
    "ResponseImageGenCallPartialImageEvent",
    "ResponseLifecycleEvent",
    "ResponseOutputItemAddedEvent",
    "ResponseOutputItemDoneEvent",
    "ResponseReasoningTextDeltaEvent",
    "ResponseReasoningTextDoneEvent",
    "ResponseStreamEvent",
    "ResponseTextAnnotationAddedEvent",
    "ResponseTextDeltaEvent",
    "ResponseTextDoneEvent",
]

FileSearchStep = Literal[
    "response.file_search_call.in_progress",
    "response.file_search_call.searching",
    "response.file_search_call.completed",
]
"""Events of a search, in their order."""

ImageCallStep = Literal[
    "response.image_generation_call.in_progress",
    "response.image_generation_call.generating",
    "response.image_generation_call.completed",
]
"""Events of an image, in their order; previews come before the last."""


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
class ResponseTextAnnotationAddedEvent(_PartEvent):
    """A citation of the text up to here. `annotation_index` counts those of the part from 0."""

    type: Literal["response.output_text.annotation.added"] = "response.output_text.annotation.added"
    annotation_index: int
    annotation: FileCitation


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


@attrs.frozen(kw_only=True)
class _AudioEvent(_Event):
    """An event of the response's audio. All fields but OpenAI's are extensions."""

    audio_id: str
    """The id that reports of what was heard refer to."""


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseAudioTranscriptDeltaEvent(_AudioEvent):
    """The text that the next piece of audio says, marks included. It came before as text of the output."""

    type: Literal["response.audio.transcript.delta"] = "response.audio.transcript.delta"
    delta: str


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseAudioTranscriptDoneEvent(_AudioEvent):
    """The whole text."""

    type: Literal["response.audio.transcript.done"] = "response.audio.transcript.done"
    transcript: str


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseAudioDeltaEvent(_AudioEvent):
    """A spoken piece. Times are seconds from the first sample of the audio, offsets characters of its transcript."""

    type: Literal["response.audio.delta"] = "response.audio.delta"
    delta: str
    """Base64. The decoded deltas, concatenated, are a file of the requested format."""
    start_sample: int
    """Samples of the audio before this piece."""
    samples: int
    """Samples of this piece."""
    sample_rate: int
    words: list[SpeechWord] | None = None
    visemes: list[SpeechViseme] | None = None
    gestures: list[SpeechGesture] | None = None
    """Those that begin within the piece; they may end after it."""


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseAudioDoneEvent(_AudioEvent):
    """The audio is complete."""

    type: Literal["response.audio.done"] = "response.audio.done"
    expires_at: int
    """Unix seconds."""
    duration: float
    """Seconds."""
    unspoken: list[UnspokenText] | None = None
    """Present if a part of the text could not be said."""


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseFileSearchCallEvent(_ItemEvent):
    """A step of a search."""

    type: FileSearchStep


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseImageGenCallEvent(_ItemEvent):
    """A step of an image. One that fails is never `completed`: its item is done with status `failed`."""

    type: ImageCallStep


@attrs.frozen(kw_only=True, field_transformer=_in_wire_order)
class ResponseImageGenCallPartialImageEvent(_ItemEvent):
    """A preview of an image that is being painted. They count from 0."""

    type: Literal["response.image_generation_call.partial_image"] = "response.image_generation_call.partial_image"
    partial_image_b64: str
    partial_image_index: int
    output_format: str
    size: str


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
    | ResponseTextAnnotationAddedEvent
    | ResponseTextDoneEvent
    | ResponseReasoningTextDeltaEvent
    | ResponseReasoningTextDoneEvent
    | ResponseFunctionCallArgumentsDeltaEvent
    | ResponseFunctionCallArgumentsDoneEvent
    | ResponseCustomToolCallInputDeltaEvent
    | ResponseCustomToolCallInputDoneEvent
    | ResponseAudioTranscriptDeltaEvent
    | ResponseAudioTranscriptDoneEvent
    | ResponseAudioDeltaEvent
    | ResponseAudioDoneEvent
    | ResponseFileSearchCallEvent
    | ResponseImageGenCallEvent
    | ResponseImageGenCallPartialImageEvent
    | ResponseErrorEvent
)
