"""The audio of spoken answers on the wire, as the fields that chat completions and responses have in common."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import otel
from providers.chat.types import GenerationEvent
from providers.speech.types import SAMPLE_RATE, SpeechPiece
from server.api.speech.encoders import SAMPLE_BYTES, encode_whole
from server.api.speech.gestures import Gestures
from server.api.speech.pieces import QUIET_SECONDS
from server.api.speech.response import speech_words, unspoken_texts
from server.api.speech.visemes import speech_visemes
from server.api.spoken.audio import AudioBytes
from server.api.spoken.said import SaidAnswer, SaidAnswers
from server.api.spoken.speaking import SpokenEvent, SpokenPiece
from server.api.spoken.voice import AnswerVoice

__all__ = ["AudioParts", "new_answer", "texts", "whole_audio"]

_NOTHING = SpeechPiece("", b"", [], [], 0.0)


def new_answer(kept: SaidAnswers, id: str, *, model: str, request_id: str) -> SaidAnswer:
    """An answer that has not begun. `id`: of the chat completion or the response."""
    return kept.new(f"audio_{uuid4().hex}", id, otel.start_playback(model=model, request_id=request_id))


class AudioParts:
    """The audio of one answer, part by part."""

    def __init__(self, voice: AnswerVoice) -> None:
        self._times = _Times(voice)
        self._samples = 0

    @property
    def duration(self) -> float:
        """Seconds of the parts so far."""
        return self._samples / SAMPLE_RATE

    def of(self, event: AudioBytes) -> dict[str, Any] | None:
        """The fields of the next part, its bytes as `audio`. None: there is nothing to send."""
        if not event.audio and event.piece is None:
            return None
        piece = _NOTHING if event.piece is None else event.piece.piece
        start, samples = self._samples, len(piece.audio) // SAMPLE_BYTES
        self._samples += samples
        return {
            "audio": _base64(event.audio),
            "start_sample": start,
            "samples": samples,
            "sample_rate": SAMPLE_RATE,
            **self._times.of([piece]),
        }


async def texts(
    events: AsyncIterator[SpokenEvent], pieces: Sequence[list[SpeechPiece]]
) -> AsyncGenerator[GenerationEvent, None]:
    """The events without the spoken pieces, which are appended to those of their answers."""
    async for event in events:
        if isinstance(event, SpokenPiece):
            pieces[event.index].append(event.piece)
        else:
            yield event


async def whole_audio(pieces: Sequence[SpeechPiece], voice: AnswerVoice, said: SaidAnswer) -> dict[str, Any]:
    """The fields of a whole answer's audio: a file whose header contains its length. Encodes in a thread."""
    pcm = b"".join(piece.audio for piece in pieces)
    if not pcm:  # only marks: no player accepts an empty file
        pcm = bytes(round(QUIET_SECONDS * SAMPLE_RATE) * SAMPLE_BYTES)
    file = await asyncio.to_thread(encode_whole, voice.audio_format, pcm)
    return {
        "id": said.id,
        "data": _base64(file),
        "expires_at": said.expires_at,
        "transcript": said.text,
        "sample_rate": SAMPLE_RATE,
        "duration": len(pcm) / SAMPLE_BYTES / SAMPLE_RATE,
        "unspoken": unspoken_texts(said.unspoken),
        **_Times(voice).of(pieces),
    }


class _Times:
    """What the voice's client wants to know of pieces beside their sound. Pass the pieces of one answer in order."""

    def __init__(self, voice: AnswerVoice) -> None:
        self._voice = voice
        self._gestures = None if voice.gesture_seed is None else Gestures(voice.gesture_seed)

    def of(self, pieces: Sequence[SpeechPiece]) -> dict[str, Any]:
        if not self._voice.timings:
            return {}
        phonemes = [span for piece in pieces for span in piece.phonemes]
        gestures = self._gestures
        return {
            "words": speech_words([word for piece in pieces for word in piece.words]),
            "visemes": speech_visemes(phonemes, self._voice.viseme_set),
            "gestures": None if gestures is None else [made for piece in pieces for made in gestures.of(piece)],
        }


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
