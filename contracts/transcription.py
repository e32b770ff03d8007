"""`POST /v1/audio/transcriptions` and `/v1/audio/translations`: a recording, and what was said in it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts._fields import EXPLICIT_NULL, Fraction, Seconds
from contracts.uploads import Upload

__all__ = [
    "CreateTranscriptionRequest",
    "CreateTranslationRequest",
    "DurationUsage",
    "Granularity",
    "ResponseFormat",
    "TranscriptTextDelta",
    "TranscriptTextDone",
    "Transcription",
    "TranscriptionLogprob",
    "TranscriptionProgress",
    "TranscriptionSegment",
    "TranscriptionStreamEvent",
    "TranscriptionVerbose",
    "TranscriptionWord",
]

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity = Literal["word", "segment"]


@attrs.frozen(kw_only=True)
class RecordingForm:
    """What both endpoints ask for. Sent as `multipart/form-data`; a list is a field sent several times, with or without
    `[]` after its name, and an empty field is the same as none."""

    file: Upload
    model: Annotated[str, MinLen(1), MaxLen(1024)]
    language: Annotated[str, MaxLen(64)] | None = None
    """What is spoken: an ISO-639-1 code or an English name. Left out, a model of several languages finds out."""
    prompt: str | None = None
    """Text that the recording might continue; its last 223 tokens count."""
    temperature: Fraction | None = None
    timestamp_granularities: list[Granularity] | None = None
    stream: bool | None = None
    include: list[Literal["logprobs", "progress"]] | None = None
    timeout: Seconds | None = None


@attrs.frozen(kw_only=True)
class CreateTranscriptionRequest(RecordingForm):
    """A recording to be written down.

    A parameter that this server knows and cannot honour is refused with `unsupported_parameter`; unknown fields are
    ignored.
    """

    response_format: Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"] | None = None

    # Known, and refused.
    chunking_strategy: Any = None
    keywords: Any = None
    known_speaker_names: Any = None
    known_speaker_references: Any = None
    languages: Any = None


@attrs.frozen(kw_only=True)
class CreateTranslationRequest(RecordingForm):
    """A recording to be written down in English, whatever is spoken. `language` is what is spoken."""

    response_format: ResponseFormat | None = None


@attrs.frozen(kw_only=True)
class DurationUsage:
    """What a request cost: seconds of audio."""

    type: Literal["duration"] = "duration"
    seconds: float


@attrs.frozen(kw_only=True)
class TranscriptionLogprob:
    """A token of the text, its UTF-8 bytes, and its natural log-probability."""

    token: str
    bytes: list[int]
    logprob: float


@attrs.frozen(kw_only=True)
class Transcription:
    """What was said."""

    text: str
    logprobs: list[TranscriptionLogprob] | None = None
    usage: DurationUsage


@attrs.frozen(kw_only=True)
class TranscriptionWord:
    """A word, and when it was spoken, in seconds."""

    word: str
    start: float
    end: float


@attrs.frozen(kw_only=True)
class TranscriptionSegment:
    """A piece of the text. Times are seconds; `seek` counts hundredths of them, as Whisper does, to the beginning of
    the window in which it was heard. The last four figures are of that window."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


@attrs.frozen(kw_only=True)
class TranscriptionVerbose:
    """What was said, when, and how sure the model is of it."""

    task: Literal["transcribe", "translate"]
    language: str
    """English name of the text's language."""
    duration: float
    """Of the recording, in seconds."""
    text: str
    words: list[TranscriptionWord] | None = None
    segments: list[TranscriptionSegment] | None = None
    usage: DurationUsage


@attrs.frozen(kw_only=True)
class TranscriptTextDelta:
    """More of the text."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str
    logprobs: list[TranscriptionLogprob] | None = None


@attrs.frozen(kw_only=True)
class TranscriptionProgress:
    """How much of the recording is done, in seconds; sent where `include` asks for it. `duration` is what the file says
    of itself."""

    type: Literal["transcript.progress"] = "transcript.progress"
    position: float
    duration: float | None = attrs.field(default=None, metadata=EXPLICIT_NULL)


@attrs.frozen(kw_only=True)
class TranscriptTextDone:
    """The whole text; the last event."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    logprobs: list[TranscriptionLogprob] | None = None


TranscriptionStreamEvent = TranscriptTextDelta | TranscriptionProgress | TranscriptTextDone
