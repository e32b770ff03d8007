"""Speech as the providers see it: one request type, and the events that answer it.

Audio is mono 16-bit signed little-endian PCM at `SAMPLE_RATE`. Times are whole samples since the start of the
utterance, cumulative over its pieces, so that nothing drifts: divide by `SAMPLE_RATE` once, at the wire.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from providers.events import Event

__all__ = [
    "MAX_SPEED",
    "MIN_SPEED",
    "SAMPLE_RATE",
    "Gender",
    "InputFormat",
    "PhonemeSpan",
    "SpeechAccepted",
    "SpeechEvent",
    "SpeechFinished",
    "SpeechPiece",
    "SpeechRequest",
    "SpeechTurn",
    "Unspoken",
    "VoiceInfo",
    "WordSpan",
]

SAMPLE_RATE = 24_000
"""Samples a second, of every piece."""

MIN_SPEED = 0.25
MAX_SPEED = 4.0

Gender = Literal["female", "male"]

InputFormat = Literal["text", "markdown"]
"""How to read an input. Without one, only unmistakable marks of Markdown are silent."""


class SpeechTurn(msgspec.Struct, frozen=True):
    """What one speaker says before the next. `voices` and `speed` are as in `SpeechRequest`."""

    text: str
    voices: list[tuple[str, float]]
    speed: float = 1.0
    voice_path: str = "voice"
    """Where the client named the voice."""


class SpeechRequest(msgspec.Struct, frozen=True, tag="speech"):
    """A text to speak.

    `voices` are ids and their weights, which sum to 1: one voice is `[("af_heart", 1.0)]`. `language` is what
    `language_named` returned; without it, a mix is spoken in the language of its first voice. `speed` 2 takes half as
    long. `timeout` is in seconds from admission into the engine.
    `lexicon` has phonemes by word.
    With `turns`, these are spoken one after the other instead of `text`.
    `streamed`: the client plays what it gets, so pieces are sized to begin early and then arrive in time.
    """

    id: str
    text: str
    voices: list[tuple[str, float]]
    speed: float = 1.0
    timeout: float | None = None
    language: str | None = None
    input_format: InputFormat | None = None
    lexicon: dict[str, str] = msgspec.field(default_factory=dict)
    streamed: bool = False
    turns: list[SpeechTurn] = msgspec.field(default_factory=list)


class PhonemeSpan(msgspec.Struct, frozen=True, array_like=True):
    """A phoneme of Kokoro's alphabet (misaki's IPA; no stress marks, `ː` stays with its vowel), or `""` for silence."""

    phoneme: str
    start: int
    end: int


class WordSpan(msgspec.Struct, frozen=True, array_like=True):
    """A word as it was spoken, without punctuation, and the stretch of the input that it says.

    `text` is that stretch: `input[start_char:end_char]`, in Unicode code points of the client's input. Words of one
    sign or number share a stretch: `$5` is spoken as `five` and `dollars`. Two stretches are equal or do not overlap.
    """

    word: str
    start: int
    end: int
    text: str = ""
    start_char: int = 0
    end_char: int = 0
    stress: bool = False
    """Whether a syllable of it has the main stress of a content word."""


class Unspoken(msgspec.Struct, frozen=True, array_like=True):
    """Letters of the input that the voice cannot say. Offsets are as in `WordSpan`, within the text of a turn."""

    text: str
    start_char: int
    end_char: int
    turn: int | None = None


class SpeechAccepted(Event, frozen=True, array_like=True, tag="sa"):
    """The request passed every check. Always the first event, and sent once.

    `pieces` is how many `SpeechPiece`s will follow, or None if the engine reads the text while it speaks; `characters`
    counts the input. `unspoken` are the words of the input that will not be said, as far as it is read.
    """

    pieces: int | None
    characters: int
    unspoken: list[Unspoken] = msgspec.field(default_factory=list)


class SpeechPiece(Event, frozen=True, array_like=True, tag="sp"):
    """A sentence, or a clause of one, spoken.

    `phonemes` are contiguous: the first starts where the piece before ended (0 for the first piece), the last ends with
    the audio, and pauses are spans of silence. `words` are in order and lie within the piece. `text` is the normalised
    text of the piece, and `start_char` and `end_char` delimit its stretch of the input, in Unicode code points.
    `seconds` is how long the engine took for it. `last`: no piece follows. `turn` is the number of its turn, within
    whose text the offsets are; None if the request has no turns.
    """

    text: str
    audio: bytes
    phonemes: list[PhonemeSpan]
    words: list[WordSpan]
    seconds: float
    start_char: int = 0
    end_char: int = 0
    last: bool = False
    turn: int | None = None


class SpeechFinished(Event, frozen=True, array_like=True, tag="sf"):
    """Everything is spoken: the last event.

    `samples` is the length of all pieces together; `seconds` the time from the first piece's start to the last one's
    end in the engine. `unspoken` are the words of the input that could not be said.
    """

    ends: ClassVar[bool] = True

    samples: int
    seconds: float
    unspoken: list[Unspoken] = msgspec.field(default_factory=list)


SpeechEvent = SpeechAccepted | SpeechPiece | SpeechFinished


class VoiceInfo(msgspec.Struct, frozen=True):
    """A voice that a model offers. `EngineInfo.details["voices"]` lists them as mappings with these keys."""

    id: str
    language: str
    """BCP 47, e.g. `en-GB`."""
    gender: Gender | None
    name: str
    """For a person, e.g. `Emma`."""
    spoken: bool = True
    """Whether this server can turn text into phonemes of the voice's language."""
