"""Speech in chat: what a request asks of the voice, and the audio of a chat completion.

The fields of OpenAI's contract have its names. `words`, `visemes`, `gestures` and their clock are extensions: times are
seconds from the first sample of the answer's audio, offsets are characters of its transcript.
"""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le, MaxLen

from contracts._fields import ModelName
from contracts.parameters import honoured
from contracts.speech import SpeechGesture, SpeechViseme, SpeechWord, UnspokenText, VisemeSet, VoiceId, VoiceName

__all__ = [
    "AnswerAudioFormat",
    "AudioDelta",
    "AudioOptions",
    "AudioReference",
    "ChatCompletionAudio",
    "HeardAnswer",
    "HeardAudio",
    "HeardObject",
    "HeardRequest",
    "Modality",
    "PlaybackEvent",
    "PlayedMilliseconds",
]

Modality = Literal["text", "audio"]
AnswerAudioFormat = Literal["wav", "aac", "mp3", "flac", "opus", "pcm16", "pcm"]

PlayedMilliseconds = Annotated[float, Ge(0), Le(86_400_000)]
HeardObject = Literal["chat.completion.audio.heard", "response.audio.heard"]
MAX_PLAYBACK_EVENTS = 128


@attrs.frozen(kw_only=True)
class AudioOptions:
    """The voice of the answer."""

    voice: VoiceName | VoiceId | None = attrs.field(
        default=None, metadata=honoured("As in speech requests.", otherwise="`af_heart`, or the model's first voice")
    )
    format: AnswerAudioFormat | None = attrs.field(
        default=None,
        metadata=honoured("`pcm` means `pcm16`.", otherwise="`pcm16` in a stream, else `wav`"),
    )
    model: ModelName | None = attrs.field(
        default=None, metadata=honoured("Extension. The model that speaks.", otherwise="the first one that speaks")
    )
    speed: Annotated[float, Ge(0.25), Le(4)] | None = attrs.field(
        default=None, metadata=honoured("Extension, as in speech requests.", default=1)
    )
    include_visemes: bool | None = attrs.field(
        default=None, metadata=honoured("Extension. False: no `words` and `visemes`.", default=True)
    )
    viseme_set: VisemeSet | None = attrs.field(
        default=None, metadata=honoured("Extension, as in speech requests.", default="oculus")
    )
    include_gestures: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension, as in speech requests: gestures of the speaker and of a listener. Not with `include_visemes` "
            "false.",
            default=False,
        ),
    )
    gesture_seed: Annotated[int, Ge(0), Le(2**53)] | None = attrs.field(
        default=None,
        metadata=honoured("Extension. Equal seeds give equal gestures. Only with `include_gestures`.", default=0),
    )


@attrs.frozen(kw_only=True)
class AudioReference:
    """An earlier answer's audio, in place of the text of its turn."""

    id: str
    played_ms: PlayedMilliseconds | None = None
    """Extension. How much of it was played: the turn holds the words that were heard to their end."""


@attrs.frozen(kw_only=True)
class HeardAudio:
    """How much of an earlier answer was played."""

    audio_id: str
    played_ms: PlayedMilliseconds


@attrs.frozen(kw_only=True)
class ChatCompletionAudio:
    """The speech of an answer."""

    id: str
    """Later turns can refer to the answer by it, until `expires_at`."""
    data: str
    """Base64 of a file of the requested format."""
    expires_at: int
    """Unix seconds."""
    transcript: str
    """The text of the answer as the model wrote it. Markup in it is not spoken."""
    sample_rate: int
    duration: float
    """Seconds: the sample count over the sample rate."""
    words: list[SpeechWord] | None = None
    visemes: list[SpeechViseme] | None = None
    gestures: list[SpeechGesture] | None = None
    unspoken: list[UnspokenText] | None = None
    """Present if a part of the text could not be said."""


@attrs.frozen(kw_only=True)
class AudioDelta:
    """A part of the speech of a streamed answer: text of the transcript, a spoken piece, or the end."""

    id: str
    transcript: str | None = None
    data: str | None = None
    """Base64. The decoded deltas, concatenated, are a file of the requested format."""
    start_sample: int | None = None
    """Samples of the answer's audio before this piece."""
    samples: int | None = None
    """Samples of this piece."""
    sample_rate: int | None = None
    words: list[SpeechWord] | None = None
    visemes: list[SpeechViseme] | None = None
    gestures: list[SpeechGesture] | None = None
    """Those that begin within the piece; they may end after it."""
    expires_at: int | None = None
    duration: float | None = None
    """Seconds of the whole audio, with `expires_at`."""
    unspoken: list[UnspokenText] | None = None
    """Present with `expires_at` if a part of the text could not be said."""


@attrs.frozen(kw_only=True)
class PlaybackEvent:
    """A change of an answer's playback, as the client saw it."""

    type: Literal["started", "stalled", "paused", "resumed", "ended", "stopped"]
    """`started`: the first sound was heard. `stalled`: the sound had to wait for the next piece. `ended`: it was played
    to its end. `stopped`: it was cut off."""
    at_ms: PlayedMilliseconds
    """Since the client sent the request of the answer, by the client's own clock."""


@attrs.frozen(kw_only=True)
class HeardRequest:
    """How much of an answer's audio was played, and how."""

    played_ms: PlayedMilliseconds = attrs.field(
        metadata=honoured("Milliseconds from the beginning of the audio.", values="0 or more")
    )
    audio_id: str | None = attrs.field(
        default=None, metadata=honoured("The audio of one of several answers.", otherwise="that of the first")
    )
    events: Annotated[list[PlaybackEvent], MaxLen(MAX_PLAYBACK_EVENTS)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "What happened during playback. They become a span in the trace of the answer's request; the first report "
            "that has them counts.",
            values=f"at most {MAX_PLAYBACK_EVENTS}",
            otherwise="none",
        ),
    )


@attrs.frozen(kw_only=True)
class HeardAnswer:
    """What later turns hold of an answer."""

    id: str
    """Of the audio."""
    object: HeardObject = "chat.completion.audio.heard"
    transcript: str
    """The answer up to the last word that was heard to its end."""
    played_ms: float
    complete: bool
    """Whether every word was heard."""
    expires_at: int
    request_id: str
