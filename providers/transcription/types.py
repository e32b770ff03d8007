"""Transcription as the providers see it: one request type, and the events that answer it.

The audio crosses to the engine as the path of a file, not as bytes: a frame is at most 64 MiB and is read whole before
the next one, so an upload in one would hold up every other command (cancellations too) and be in memory twice. The
engine reads the file piece by piece as it gets on, so its memory does not grow with the length either. The file belongs
to the server, which keeps it until the answer has ended, however it ends, and then removes it; the engine opens it once
and never writes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from providers.events import Event

__all__ = [
    "Segment",
    "Task",
    "TokenProbability",
    "TranscriptionAccepted",
    "TranscriptionEvent",
    "TranscriptionFinished",
    "TranscriptionProgress",
    "TranscriptionRequest",
    "Word",
]

Task = Literal["transcribe", "translate"]
"""`translate` is into English, whatever is spoken."""


class TranscriptionRequest(msgspec.Struct, frozen=True, tag="transcription"):
    """A recording to write down.

    `path` is of a file in any container and codec that FFmpeg's libraries read. `language` is an ISO-639-1 code or an
    English name; None has the model find out. `prompt` is text that the recording might continue. `temperature` 0
    starts there and goes up where the outcome is poor, as Whisper's own program does; any other is kept to. `timeout`
    is in seconds from admission into the engine.
    """

    id: str
    path: str
    language: str | None = None
    prompt: str | None = None
    temperature: float = 0.0
    task: Task = "transcribe"
    words: bool = False
    """Whether to tell when each word was spoken."""
    logprobs: bool = False
    """Whether to tell how probable each token was."""
    detect_speech: bool = True
    """Whether stretches without speech are skipped by a detector, before the model hears them."""
    timeout: float | None = None
    max_seconds: float | None = None
    """A longer recording is refused; None: any duration is read."""


class TranscriptionAccepted(Event, frozen=True, array_like=True, tag="wa"):
    """The file can be read. Always the first event, and sent once.

    `duration` is in seconds and what the file says of itself, which may be wrong; None where it says nothing.
    """

    duration: float | None


class Word(msgspec.Struct, frozen=True, array_like=True):
    """A word, its punctuation and the space before it included, and when it was spoken, in seconds."""

    text: str
    start: float
    end: float
    probability: float


class TokenProbability(msgspec.Struct, frozen=True, array_like=True):
    """A token of the text, its UTF-8 bytes (which may be part of a character), and its natural log-probability."""

    token: str
    raw: bytes
    logprob: float


class Segment(Event, frozen=True, array_like=True, tag="ws"):
    """A piece of the text, a sentence or so. The texts of all segments, as they are, make the whole.

    `start`, `end` and `seek` (where the window began that it was heard in) are seconds from the start of the file.
    Segments come in order and do not overlap; words lie inside theirs. `temperature`, `avg_logprob`,
    `compression_ratio` and `no_speech_prob` are of the window.
    """

    text: str
    start: float
    end: float
    seek: float
    tokens: list[int]
    """Text and timestamp tokens."""
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: list[Word] | None = None
    logprobs: list[TokenProbability] | None = None
    """One for each token of the text, timestamps not included."""


class TranscriptionProgress(Event, frozen=True, array_like=True, tag="wp"):
    """Everything before `position` is done; `duration` is as accepted. Both are seconds."""

    position: float
    duration: float | None


class TranscriptionFinished(Event, frozen=True, array_like=True, tag="wf"):
    """The transcription is complete. The last event.

    `duration` is what was in the file, in seconds; `language` an English name (`english`), as spoken, and None if
    neither request nor recording gives one. The times are the engine's own, in seconds, and add up over all windows.
    """

    ends: ClassVar[bool] = True

    duration: float
    language: str | None
    windows: int
    """How many times up to thirty seconds were listened to; silence is passed over."""
    encode_seconds: float
    decode_seconds: float


TranscriptionEvent = TranscriptionAccepted | Segment | TranscriptionProgress | TranscriptionFinished
