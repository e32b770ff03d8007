"""What Litestar's OpenAPI generator cannot say by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from server.audio import FORMATS

__all__ = ["SpeechOperation", "StreamedCompletionOperation", "StreamedOperation", "StreamedResponseOperation"]


@dataclass
class StreamedOperation(Operation):
    """An operation whose 200 is JSON, or a stream of server-sent events."""

    _events: ClassVar[str] = (
        "`data: <ChatCompletionChunk>` messages, then `data: [DONE]`; a failure on the way is "
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


class StreamedResponseOperation(StreamedOperation):
    """`POST /v1/responses`, whose events have names."""

    _events = (
        "`event: <type>` and `data: <event>`, from ResponseLifecycleEvent `response.created` to one whose type is "
        "`response.completed`, `response.incomplete` or `response.failed`; or `event: error`, a ResponseErrorEvent, "
        "where the response failed before it was created. Lines that begin with a colon are comments."
    )


class SpeechOperation(StreamedOperation):
    """`POST /v1/audio/speech`, whose 200 is audio unless events or timings were asked for."""

    _events = (
        "`data: <SpeechAudioDelta>` messages (HeadTtsSpeechDelta with `timing_format`), then `data: <SpeechAudioDone>` "
        "and `data: [DONE]`; a failure on the way is `data: <ErrorResponse>`. Lines that begin with a colon are "
        "comments."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        response = (self.responses or {}).get("200")
        if isinstance(response, OpenAPIResponse) and response.content is not None:
            audio = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
            response.content.update({info.media_type: OpenAPIMediaType(schema=audio) for info in FORMATS.values()})
