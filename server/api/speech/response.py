"""Spoken pieces, as the objects and events of OpenAI and of HeadTTS."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import attrs

from contracts.speech import (
    HeadTtsSpeech,
    HeadTtsSpeechDelta,
    SpeechAudioDelta,
    SpeechAudioDone,
    SpeechUsage,
    SpeechViseme,
    SpeechWithTimings,
    SpeechWord,
    UnspokenText,
)
from providers.speech.types import (
    SAMPLE_RATE,
    SpeechAccepted,
    SpeechFinished,
    SpeechPiece,
    Unspoken,
    WordSpan,
)
from server.api.speech.gestures import Gestures
from server.api.speech.pieces import EncodedAudio
from server.api.speech.request import SpeechAnswer
from server.api.speech.visemes import speech_visemes, viseme_spans
from server.streaming.sse import data_message

__all__ = [
    "SpeechEventEncoder",
    "SpeechHeader",
    "speech_with_timings",
    "speech_words",
    "unspoken_headers",
    "unspoken_texts",
]

FRAMES_PER_SECOND = 40
"""Frames of the model per second. `usage` counts frames."""

MAX_UNSPOKEN = 100
"""Stretches that the header `X-Unspoken` has room for."""

SpokenEvent = SpeechAccepted | EncodedAudio | SpeechFinished
"""The events after the pieces are encoded."""

_NOTHING = SpeechPiece("", b"", [], [], 0.0)


@attrs.frozen(kw_only=True)
class SpeechHeader:
    """Fields of every answer."""

    model: str
    request_id: str


class SpeechEventEncoder:
    """Writes encoded pieces as `speech.audio.delta`, and the end as `speech.audio.done`."""

    def __init__(self, header: SpeechHeader, answer: SpeechAnswer, *, characters: int) -> None:
        self._header = header
        self._answer = answer
        self._characters = characters
        self._pieces: int | None = None
        self._spoken = 0
        self._gestures = _gestures(answer)

    def encode(self, events: Sequence[SpokenEvent]) -> bytes:
        return b"".join(data_message(event) for event in map(self._event, events) if event)

    def _event(self, event: SpokenEvent) -> SpeechAudioDelta | HeadTtsSpeechDelta | SpeechAudioDone | None:
        if isinstance(event, SpeechAccepted):
            self._pieces = event.pieces
        elif isinstance(event, SpeechFinished):
            return self._done(event)
        elif event.audio or event.piece is not None:
            return self._delta(event)
        return None

    def _delta(self, event: EncodedAudio) -> SpeechAudioDelta | HeadTtsSpeechDelta | None:
        audio, piece = _base64(event.audio), event.piece or _NOTHING
        if self._answer.headtts:
            return HeadTtsSpeechDelta(audio=audio, **_headtts([piece]))
        if not self._answer.timings:
            return SpeechAudioDelta(audio=audio) if audio else None
        self._spoken += event.piece is not None
        return SpeechAudioDelta(
            audio=audio,
            piece=self._spoken,
            pieces=self._spoken if piece.last or event.piece is None else self._pieces,
            text=piece.text,
            start_char=None if event.piece is None else piece.start_char,
            end_char=None if event.piece is None else piece.end_char,
            speaker=_speaker(piece, self._answer),
            input_index=piece.turn,
            words=_words(piece, self._answer),
            visemes=_visemes(piece, self._answer),
            gestures=None if self._gestures is None else self._gestures.of(piece),
        )

    def _done(self, event: SpeechFinished) -> SpeechAudioDone:
        frames = round(event.samples * FRAMES_PER_SECOND / SAMPLE_RATE)
        return SpeechAudioDone(
            usage=SpeechUsage(
                input_tokens=self._characters, output_tokens=frames, total_tokens=self._characters + frames
            ),
            duration=event.samples / SAMPLE_RATE,
            unspoken=unspoken_texts(event.unspoken),
            model=self._header.model,
            request_id=self._header.request_id,
        )


def speech_with_timings(
    header: SpeechHeader, answer: SpeechAnswer, pieces: Sequence[SpeechPiece], finished: SpeechFinished, audio: bytes
) -> SpeechWithTimings | HeadTtsSpeech:
    """The whole utterance. `audio` is a file of the requested format."""
    header_fields: dict[str, Any] = {
        "audio": _base64(audio),
        "unspoken": unspoken_texts(finished.unspoken),
        "model": header.model,
        "request_id": header.request_id,
    }
    if answer.headtts:
        return HeadTtsSpeech(audioEncoding=answer.audio_format, **_headtts(pieces), **header_fields)
    gestures = _gestures(answer)
    return SpeechWithTimings(
        format=answer.audio_format,
        sample_rate=SAMPLE_RATE,
        duration=finished.samples / SAMPLE_RATE,
        words=[word for piece in pieces for word in _words(piece, answer)],
        visemes=[viseme for piece in pieces for viseme in _visemes(piece, answer)],
        gestures=None if gestures is None else [gesture for piece in pieces for gesture in gestures.of(piece)],
        **header_fields,
    )


def _gestures(answer: SpeechAnswer) -> Gestures | None:
    return None if answer.gesture_seed is None else Gestures(answer.gesture_seed, answer.speakers)


def _words(piece: SpeechPiece, answer: SpeechAnswer) -> list[SpeechWord]:
    words = speech_words(piece.words)
    if piece.turn is None:
        return words
    speaker = _speaker(piece, answer)
    return [attrs.evolve(word, speaker=speaker, input_index=piece.turn) for word in words]


def _visemes(piece: SpeechPiece, answer: SpeechAnswer) -> list[SpeechViseme]:
    visemes = speech_visemes(piece.phonemes, answer.viseme_set)
    speaker = _speaker(piece, answer)
    return visemes if speaker is None else [attrs.evolve(viseme, speaker=speaker) for viseme in visemes]


def _speaker(piece: SpeechPiece, answer: SpeechAnswer) -> str | None:
    return None if piece.turn is None else answer.speakers[piece.turn]


def speech_words(spans: Sequence[WordSpan]) -> list[SpeechWord]:
    return [
        SpeechWord(
            word=span.word,
            start_time=span.start / SAMPLE_RATE,
            end_time=span.end / SAMPLE_RATE,
            text=span.text,
            start_char=span.start_char,
            end_char=span.end_char,
        )
        for span in spans
    ]


def unspoken_headers(words: Sequence[Unspoken]) -> list[tuple[bytes, bytes]]:
    """`X-Unspoken` with the stretches of the input that are not said, such as `9-11, 20-24`. None if all is said.

    The number of the turn comes before the stretch, if there are turns: `2:9-11`.
    """
    if not words:
        return []
    stretches = [
        f"{'' if word.turn is None else f'{word.turn}:'}{word.start_char}-{word.end_char}"
        for word in words[:MAX_UNSPOKEN]
    ]
    more = [f"and {len(words) - MAX_UNSPOKEN} more"] if len(words) > MAX_UNSPOKEN else []
    return [(b"x-unspoken", ", ".join(stretches + more).encode("ascii"))]


def unspoken_texts(words: Sequence[Unspoken]) -> list[UnspokenText] | None:
    """None: everything is said."""
    return [
        UnspokenText(text=word.text, start_char=word.start_char, end_char=word.end_char, input_index=word.turn)
        for word in words
    ] or None


def _headtts(pieces: Sequence[SpeechPiece]) -> dict[str, Any]:
    """HeadTTS's arrays. Silence is left out, as in HeadTTS: `viseme_sil` would hold the mouth shut against the shapes
    beside it."""
    words = [span for piece in pieces for span in piece.words]
    phonemes = [span for piece in pieces for span in piece.phonemes]
    visemes = [span for span in viseme_spans(phonemes) if span.viseme != "sil"]
    return {
        "words": [span.word for span in words],
        "subtitles": _subtitles(pieces),
        "wtimes": [_milliseconds(span.start) for span in words],
        "wdurations": [_milliseconds(span.end) - _milliseconds(span.start) for span in words],
        "visemes": [span.viseme for span in visemes],
        "vtimes": [_milliseconds(span.start) for span in visemes],
        "vdurations": [_milliseconds(span.end) - _milliseconds(span.start) for span in visemes],
        "phonemes": [span.phoneme for span in visemes],
    }


def _subtitles(pieces: Sequence[SpeechPiece]) -> list[str]:
    """The stretches of the words, each only once."""
    words = [(piece.turn, span) for piece in pieces for span in piece.words]
    stretches = [(turn, span.start_char, span.end_char) for turn, span in words]
    return ["" if at and stretches[at] == stretches[at - 1] else span.text for at, (_, span) in enumerate(words)]


def _milliseconds(samples: int) -> int:
    return round(samples * 1000 / SAMPLE_RATE)


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
