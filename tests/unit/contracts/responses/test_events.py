"""The order of the keys in the events of a streamed response, which their base classes must not change."""

from __future__ import annotations

from typing import get_args

import attrs

from contracts.responses.events import ResponseStreamEvent

KEYS = {
    "ResponseLifecycleEvent": ["type", "response", "sequence_number"],
    "ResponseOutputItemAddedEvent": ["type", "output_index", "item", "sequence_number"],
    "ResponseOutputItemDoneEvent": ["type", "output_index", "item", "sequence_number"],
    "ResponseContentPartAddedEvent": ["type", "item_id", "output_index", "content_index", "part", "sequence_number"],
    "ResponseContentPartDoneEvent": ["type", "item_id", "output_index", "content_index", "part", "sequence_number"],
    "ResponseTextDeltaEvent": [
        "type",
        "item_id",
        "output_index",
        "content_index",
        "delta",
        "logprobs",
        "sequence_number",
    ],
    "ResponseTextDoneEvent": [
        "type",
        "item_id",
        "output_index",
        "content_index",
        "text",
        "logprobs",
        "sequence_number",
    ],
    "ResponseReasoningTextDeltaEvent": ["type", "item_id", "output_index", "content_index", "delta", "sequence_number"],
    "ResponseReasoningTextDoneEvent": ["type", "item_id", "output_index", "content_index", "text", "sequence_number"],
    "ResponseFunctionCallArgumentsDeltaEvent": ["type", "item_id", "output_index", "delta", "sequence_number"],
    "ResponseFunctionCallArgumentsDoneEvent": [
        "type",
        "item_id",
        "output_index",
        "name",
        "arguments",
        "sequence_number",
    ],
    "ResponseCustomToolCallInputDeltaEvent": ["type", "item_id", "output_index", "delta", "sequence_number"],
    "ResponseCustomToolCallInputDoneEvent": ["type", "item_id", "output_index", "input", "sequence_number"],
    "ResponseFileSearchCallEvent": ["type", "item_id", "output_index", "sequence_number"],
    "ResponseImageGenCallEvent": ["type", "item_id", "output_index", "sequence_number"],
    "ResponseImageGenCallPartialImageEvent": [
        "type",
        "item_id",
        "output_index",
        "partial_image_b64",
        "partial_image_index",
        "output_format",
        "size",
        "sequence_number",
    ],
    "ResponseTextAnnotationAddedEvent": [
        "type",
        "item_id",
        "output_index",
        "content_index",
        "annotation_index",
        "annotation",
        "sequence_number",
    ],
    "ResponseAudioTranscriptDeltaEvent": ["type", "audio_id", "delta", "sequence_number"],
    "ResponseAudioTranscriptDoneEvent": ["type", "audio_id", "transcript", "sequence_number"],
    "ResponseAudioDeltaEvent": [
        "type",
        "audio_id",
        "delta",
        "start_sample",
        "samples",
        "sample_rate",
        "words",
        "visemes",
        "gestures",
        "sequence_number",
    ],
    "ResponseAudioDoneEvent": ["type", "audio_id", "expires_at", "duration", "unspoken", "sequence_number"],
    "ResponseErrorEvent": ["type", "code", "message", "param", "sequence_number"],
}


def test_the_keys_of_every_event_have_openai_s_order() -> None:
    events = {event.__name__: [field.name for field in attrs.fields(event)] for event in get_args(ResponseStreamEvent)}
    assert events == KEYS
