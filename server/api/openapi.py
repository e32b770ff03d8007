"""Descriptions that Litestar's OpenAPI generator cannot make itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from server.api.speech.encoders import FORMATS

__all__ = [
    "ImageOperation",
    "SpeechOperation",
    "StreamedCompletionOperation",
    "StreamedMessageOperation",
    "StreamedOperation",
    "StreamedPullOperation",
    "StreamedResponseOperation",
    "TranscriptionOperation",
]


@dataclass
class StreamedOperation(Operation):
    """An operation whose 200 is JSON, or a stream of server-sent events."""

    _events: ClassVar[str] = (
        "`data: <ChatCompletionChunk>` messages, then `data: [DONE]`; a failure in between is "
        "`data: <ErrorResponse>`. Lines that begin with a colon are comments."
    )

    def __post_init__(self) -> None:
        response = (self.responses or {}).get("200")
        if isinstance(response, OpenAPIResponse) and response.content is not None:
            response.content["text/event-stream"] = OpenAPIMediaType(
                schema=Schema(type=OpenAPIType.STRING, description=self._events)
            )


class StreamedCompletionOperation(StreamedOperation):
    """`POST /v1/completions`, whose chunks are completions."""

    _events = StreamedOperation._events.replace("ChatCompletionChunk", "Completion")


class ImageOperation(StreamedOperation):
    """`POST /v1/images/generations` and `/edits`, whose events have names."""

    _events = (
        "`event: <type>` and `data: <event>`: ImagePartialEvent where `partial_images` asks for it, and "
        "ImageCompletedEvent per image, then `data: [DONE]`; a failure in between is `data: <ErrorResponse>`. Lines "
        "that begin with a colon are comments, such as `: image 1/2 step 3/20`."
    )


class StreamedPullOperation(StreamedOperation):
    """`POST /v1/models/pull`, whose events are its progress."""

    _events = (
        "`data: <PullProgress>` messages, then `data: <PulledModel>` and `data: [DONE]`; a failure in between is "
        "`data: <ErrorResponse>`. Lines that begin with a colon are comments."
    )


class StreamedResponseOperation(StreamedOperation):
    """`POST /v1/responses`, whose events have names."""

    _events = (
        "`event: <type>` and `data: <event>`, from ResponseLifecycleEvent `response.created` to one whose type is "
        "`response.completed`, `response.incomplete` or `response.failed`; or `event: error`, a ResponseErrorEvent, "
        "where the response failed before it was created. Lines that begin with a colon are comments."
    )


class StreamedMessageOperation(StreamedOperation):
    """`POST /v1/messages`, whose events have names."""

    _events = (
        "`event: <type>` and `data: <event>`, from `message_start` to `message_stop`; a failure in between is "
        "`event: error`, a MessagesErrorResponse. Lines that begin with a colon are comments."
    )


class _ManyFormsOperation(StreamedOperation):
    """An operation whose 200 is not always JSON or events."""

    _forms: ClassVar[Mapping[str, Schema]]
    """By media type."""

    def __post_init__(self) -> None:
        super().__post_init__()
        response = (self.responses or {}).get("200")
        if isinstance(response, OpenAPIResponse) and response.content is not None:
            response.content.update({name: OpenAPIMediaType(schema=schema) for name, schema in self._forms.items()})


class SpeechOperation(_ManyFormsOperation):
    """`POST /v1/audio/speech`, whose 200 is audio unless the request asks for events or timings."""

    _events = (
        "`data: <SpeechAudioDelta>` messages (HeadTtsSpeechDelta with `timing_format`), then `data: <SpeechAudioDone>` "
        "and `data: [DONE]`; a failure in between is `data: <ErrorResponse>`. Lines that begin with a colon are "
        "comments."
    )
    _forms: ClassVar[Mapping[str, Schema]] = {
        info.media_type: Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY) for info in FORMATS.values()
    }


class TranscriptionOperation(_ManyFormsOperation):
    """`POST /v1/audio/transcriptions` and `/translations`, whose 200 is JSON, text, subtitles or events."""

    _events = (
        "`data: <TranscriptTextDelta>` messages (and TranscriptionProgress where `include` asks for it), then "
        "`data: <TranscriptTextDone>` and `data: [DONE]`; a failure in between is `data: <ErrorResponse>`. Lines that "
        "begin with a colon are comments."
    )
    _forms: ClassVar[Mapping[str, Schema]] = dict.fromkeys(
        ("text/plain", "application/x-subrip", "text/vtt"), Schema(type=OpenAPIType.STRING)
    )
