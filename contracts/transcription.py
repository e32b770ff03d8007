"""`POST /v1/audio/transcriptions` and `/v1/audio/translations`: transcripts of recordings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import MaxLen

from contracts._fields import EXPLICIT_NULL, Fraction, ModelName, Seconds
from contracts.parameters import honoured, noted
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
    """The fields of both endpoints, as `multipart/form-data`. A list is a field that is sent several times, with or
    without `[]` after its name. An empty field means the same as leaving it out."""

    file: Upload = attrs.field(metadata=honoured("See [Files](#files).", values="a file"))
    model: ModelName | None = attrs.field(
        default=None,
        metadata=honoured("With one transcription model, any name works.", otherwise="the only transcription model"),
    )
    language: Annotated[str, MaxLen(64)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "The spoken language. An English-only model refuses every other.",
            values="ISO-639-1 code, with or without a region (`en-US`), English name, or `auto`",
            otherwise="detected, by a model of several languages",
        ),
    )
    prompt: str | None = attrs.field(
        default=None,
        metadata=honoured(
            "Text that the recording might continue: names and spelling. Its last 223 tokens count.", otherwise="none"
        ),
    )
    temperature: Fraction | None = attrs.field(
        default=None,
        metadata=honoured(
            "0 starts at 0 and is raised by 0.2 where the text repeats itself or is improbable, as Whisper's own "
            "program does. Any other value stays as it is.",
            default=0,
        ),
    )
    timestamp_granularities: list[Granularity] | None = attrs.field(
        default=None,
        metadata=honoured(
            "`word` is refused for translations. Only `verbose_json` has words: with other formats it is noted.",
            default=["segment"],
        ),
    )
    vad_filter: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Whether a detector skips what is not speech before the model hears it. False: for singing, "
            "whispers and very quiet recordings.",
            default=True,
        ),
    )
    stream: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "With `json` and `text`: a `transcript.text.delta` for each segment as it is transcribed, then "
            "`transcript.text.done`, then `[DONE]`.",
            default=False,
        ),
    )
    include: list[str] | None = attrs.field(
        default=None,
        metadata=honoured(
            "`logprobs` is noted with other formats than `json`. `progress` (an extension) adds `transcript.progress` "
            "events with `position` and `duration` in seconds to a stream, and is noted without one. Other values are "
            "noted.",
            values="a list of `logprobs`, `progress`",
            default=[],
        ),
    )
    timeout: Seconds | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Seconds from entering the engine; then `504`, or an error event in a stream.",
            otherwise="no limit",
        ),
    )


@attrs.frozen(kw_only=True)
class CreateTranscriptionRequest(RecordingForm):
    """A recording to transcribe.

    A parameter that this server knows and cannot honour is refused with `unsupported_parameter`; unknown fields
    are noted.
    """

    response_format: Literal[ResponseFormat, "diarized_json"] | None = attrs.field(
        default=None,
        metadata=honoured(
            "`diarized_json` is refused: the model does not distinguish speakers.",
            values="`json`, `text`, `srt`, `verbose_json`, `vtt`",
            default="json",
        ),
    )

    chunking_strategy: Any = attrs.field(
        default=None,
        metadata=noted(
            "Windows follow Whisper's own timestamps, and begin where speech begins. The detector has no settings; "
            "`vad_filter` turns it off.",
            accepted=("auto", "server_vad", {"type": "server_vad"}),
        ),
    )

    languages: list[str] | None = attrs.field(
        default=None,
        metadata=honoured(
            "A single one is the `language`, if that is left out. Several are noted: the model detects one.",
            otherwise="as `language`",
        ),
    )

    # Hints that the model cannot take.
    keywords: Any = attrs.field(default=None, metadata=noted("`prompt` takes names and spelling."))
    known_speaker_names: Any = attrs.field(
        default=None, metadata=noted("Of `diarized_json`: the model does not distinguish speakers.")
    )
    known_speaker_references: Any = attrs.field(default=None, metadata=noted("As `known_speaker_names`."))


@attrs.frozen(kw_only=True)
class CreateTranslationRequest(RecordingForm):
    """A recording to transcribe in English. `language` is the spoken language."""

    response_format: ResponseFormat | None = attrs.field(default=None, metadata=honoured(default="json"))


@attrs.frozen(kw_only=True)
class DurationUsage:
    """The usage of a request: seconds of audio."""

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
    """The transcript."""

    text: str
    logprobs: list[TranscriptionLogprob] | None = None
    usage: DurationUsage


@attrs.frozen(kw_only=True)
class TranscriptionWord:
    """A word and its times in seconds."""

    word: str
    start: float
    end: float


@attrs.frozen(kw_only=True)
class TranscriptionSegment:
    """A part of the transcript. Times are seconds. `seek` is the start of the window that contains the segment, in
    hundredths of a second, as in Whisper. The last four values are those of the window."""

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
    """The transcript with times and the model's own estimates."""

    task: Literal["transcribe", "translate"]
    language: str
    """English name of the transcript's language."""
    duration: float
    """Of the recording, in seconds."""
    text: str
    words: list[TranscriptionWord] | None = None
    segments: list[TranscriptionSegment] | None = None
    usage: DurationUsage


@attrs.frozen(kw_only=True)
class TranscriptTextDelta:
    """Text to append."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str
    logprobs: list[TranscriptionLogprob] | None = None


@attrs.frozen(kw_only=True)
class TranscriptionProgress:
    """How many seconds of the recording are transcribed. Sent if `include` requests it. `duration` is the duration that
    the file declares."""

    type: Literal["transcript.progress"] = "transcript.progress"
    position: float
    duration: float | None = attrs.field(default=None, metadata=EXPLICIT_NULL)


@attrs.frozen(kw_only=True)
class TranscriptTextDone:
    """The complete transcript, in the last event."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    logprobs: list[TranscriptionLogprob] | None = None


TranscriptionStreamEvent = TranscriptTextDelta | TranscriptionProgress | TranscriptTextDone
