"""The events that a realtime session sends, in their order.

    session.created                                      session.updated …
    conversation.item.added, conversation.item.done      for each item of the client
    response.created
    for each item:
        response.output_item.added, conversation.item.added
        text:    response.content_part.added, response.output_text.delta …, response.output_text.done,
                 response.content_part.done
        speech:  response.content_part.added, response.output_audio_transcript.delta …; for each spoken piece
                 response.output_audio.words, response.output_audio.visemes, response.output_audio.gestures and
                 response.output_audio.delta; response.output_audio.done, response.output_audio_transcript.done,
                 response.content_part.done
        call:    response.function_call_arguments.delta …, response.function_call_arguments.done
        conversation.item.done, response.output_item.done
    response.done

An answer that is spoken may have a call while it is still being spoken. `error` may come at any time, and ends nothing.
"""

from __future__ import annotations

from typing import Literal
from uuid import uuid4

import attrs

from contracts._fields import EXPLICIT_NULL
from contracts.realtime.items import RealtimeItem
from contracts.realtime.response import RealtimeResponse
from contracts.realtime.session import RealtimeSession
from contracts.speech import SpeechGesture, SpeechViseme, SpeechWord

__all__ = [
    "AudioCleared",
    "AudioCommitted",
    "AudioGestures",
    "AudioVisemes",
    "AudioWords",
    "CallArgumentsDelta",
    "CallArgumentsDone",
    "ContentPart",
    "ContentPartEvent",
    "ErrorEvent",
    "ItemDeleted",
    "ItemEvent",
    "ItemRetrieved",
    "ItemTruncated",
    "OutputDelta",
    "OutputDone",
    "OutputItemEvent",
    "RealtimeError",
    "ResponseEvent",
    "ServerEvent",
    "SessionEvent",
    "SpeechStarted",
    "SpeechStopped",
    "TextDone",
    "TimeoutTriggered",
    "TranscriptDone",
    "TranscriptionCompleted",
    "TranscriptionDelta",
    "TranscriptionFailed",
]


def _event_id() -> str:
    return f"event_{uuid4().hex}"


@attrs.frozen(kw_only=True)
class ServerEvent:
    """Every event has an id of its own."""

    event_id: str = attrs.field(factory=_event_id)


@attrs.frozen(kw_only=True)
class RealtimeError:
    """What is wrong. `event_id` is that of the client's event."""

    type: str
    code: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    message: str
    param: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    event_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)


@attrs.frozen(kw_only=True)
class ErrorEvent(ServerEvent):
    type: Literal["error"] = "error"
    error: RealtimeError


@attrs.frozen(kw_only=True)
class SessionEvent(ServerEvent):
    type: Literal["session.created", "session.updated"]
    session: RealtimeSession


@attrs.frozen(kw_only=True)
class ItemEvent(ServerEvent):
    type: Literal["conversation.item.added", "conversation.item.done"]
    previous_item_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    item: RealtimeItem


@attrs.frozen(kw_only=True)
class ItemRetrieved(ServerEvent):
    type: Literal["conversation.item.retrieved"] = "conversation.item.retrieved"
    item: RealtimeItem


@attrs.frozen(kw_only=True)
class ItemTruncated(ServerEvent):
    type: Literal["conversation.item.truncated"] = "conversation.item.truncated"
    item_id: str
    content_index: int
    audio_end_ms: int


@attrs.frozen(kw_only=True)
class ItemDeleted(ServerEvent):
    type: Literal["conversation.item.deleted"] = "conversation.item.deleted"
    item_id: str


@attrs.frozen(kw_only=True)
class AudioCleared(ServerEvent):
    type: Literal["input_audio_buffer.cleared"] = "input_audio_buffer.cleared"


@attrs.frozen(kw_only=True)
class AudioCommitted(ServerEvent):
    type: Literal["input_audio_buffer.committed"] = "input_audio_buffer.committed"
    previous_item_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    item_id: str


@attrs.frozen(kw_only=True)
class SpeechStarted(ServerEvent):
    type: Literal["input_audio_buffer.speech_started"] = "input_audio_buffer.speech_started"
    audio_start_ms: int
    item_id: str


@attrs.frozen(kw_only=True)
class SpeechStopped(ServerEvent):
    type: Literal["input_audio_buffer.speech_stopped"] = "input_audio_buffer.speech_stopped"
    audio_end_ms: int
    item_id: str


@attrs.frozen(kw_only=True)
class TimeoutTriggered(ServerEvent):
    """The user has said nothing for `idle_timeout_ms` since the last answer was played."""

    type: Literal["input_audio_buffer.timeout_triggered"] = "input_audio_buffer.timeout_triggered"
    audio_start_ms: int
    audio_end_ms: int
    item_id: str


@attrs.frozen(kw_only=True)
class TranscriptionDelta(ServerEvent):
    type: Literal["conversation.item.input_audio_transcription.delta"] = (
        "conversation.item.input_audio_transcription.delta"
    )
    item_id: str
    content_index: int = 0
    delta: str


@attrs.frozen(kw_only=True)
class TranscriptionSeconds:
    """What a transcription cost: seconds of sound."""

    type: Literal["duration"] = "duration"
    seconds: float


@attrs.frozen(kw_only=True)
class TranscriptionCompleted(ServerEvent):
    type: Literal["conversation.item.input_audio_transcription.completed"] = (
        "conversation.item.input_audio_transcription.completed"
    )
    item_id: str
    content_index: int = 0
    transcript: str
    usage: TranscriptionSeconds


@attrs.frozen(kw_only=True)
class TranscriptionFailed(ServerEvent):
    type: Literal["conversation.item.input_audio_transcription.failed"] = (
        "conversation.item.input_audio_transcription.failed"
    )
    item_id: str
    content_index: int = 0
    error: RealtimeError


@attrs.frozen(kw_only=True)
class ResponseEvent(ServerEvent):
    type: Literal["response.created", "response.done"]
    response: RealtimeResponse


@attrs.frozen(kw_only=True)
class OutputItemEvent(ServerEvent):
    type: Literal["response.output_item.added", "response.output_item.done"]
    response_id: str
    output_index: int
    item: RealtimeItem


@attrs.frozen(kw_only=True)
class ContentPart:
    """A part of an answer's message."""

    type: Literal["text", "audio"]
    text: str | None = None
    transcript: str | None = None


@attrs.frozen(kw_only=True)
class Part(ServerEvent):
    """Where in the response an event belongs."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int = 0


@attrs.frozen(kw_only=True)
class ContentPartEvent(Part):
    type: Literal["response.content_part.added", "response.content_part.done"]
    part: ContentPart


@attrs.frozen(kw_only=True)
class OutputDelta(Part):
    """Text, a transcript, or sound in base64."""

    type: Literal["response.output_text.delta", "response.output_audio_transcript.delta", "response.output_audio.delta"]
    delta: str


@attrs.frozen(kw_only=True)
class TextDone(Part):
    type: Literal["response.output_text.done"] = "response.output_text.done"
    text: str


@attrs.frozen(kw_only=True)
class TranscriptDone(Part):
    type: Literal["response.output_audio_transcript.done"] = "response.output_audio_transcript.done"
    transcript: str


@attrs.frozen(kw_only=True)
class OutputDone(Part):
    type: Literal["response.output_audio.done"] = "response.output_audio.done"


@attrs.frozen(kw_only=True)
class SpokenPart(Part):
    """Extension. Times of the piece of speech that follows. Its times are seconds from the first sample of the item's
    audio, at `sample_rate`, whatever the format of the audio."""

    start_sample: int
    """Samples of the item's audio before the piece."""
    samples: int
    sample_rate: int


@attrs.frozen(kw_only=True)
class AudioWords(SpokenPart):
    type: Literal["response.output_audio.words"] = "response.output_audio.words"
    words: list[SpeechWord]


@attrs.frozen(kw_only=True)
class AudioVisemes(SpokenPart):
    type: Literal["response.output_audio.visemes"] = "response.output_audio.visemes"
    visemes: list[SpeechViseme]


@attrs.frozen(kw_only=True)
class AudioGestures(SpokenPart):
    type: Literal["response.output_audio.gestures"] = "response.output_audio.gestures"
    gestures: list[SpeechGesture]


@attrs.frozen(kw_only=True)
class CallArguments(ServerEvent):
    """Where in the response a call is."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str


@attrs.frozen(kw_only=True)
class CallArgumentsDelta(CallArguments):
    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    delta: str


@attrs.frozen(kw_only=True)
class CallArgumentsDone(CallArguments):
    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    name: str
    arguments: str
