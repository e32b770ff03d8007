"""Chat completions with speech: the answer's text as a transcript, with its sound, words and visemes."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from itertools import groupby
from typing import Any, ClassVar
from uuid import uuid4

import attrs

from contracts.chat.audio import AudioDelta, ChatCompletionAudio
from contracts.chat.response import ChatCompletion, ChatCompletionChunkDelta
from providers.chat.types import Finished, GenerationEvent
from providers.speech.types import SAMPLE_RATE, PhonemeSpan, SpeechPiece, WordSpan
from server.api.chat.response import ChatChunkEncoder, chat_completion
from server.api.generation.collect import collect_all
from server.api.generation.header import AnswerHeader
from server.api.speech.encoders import SAMPLE_BYTES, encode_whole
from server.api.speech.pieces import QUIET_SECONDS
from server.api.speech.response import speech_words
from server.api.speech.visemes import speech_visemes
from server.api.spoken.audio import AudioBytes, VoicedEvent
from server.api.spoken.said import SaidAnswer
from server.api.spoken.speaking import SpokenEvent, SpokenPiece
from server.api.spoken.voice import AnswerVoice

__all__ = ["SpokenAnswers", "SpokenChunkEncoder", "new_audio_id", "spoken_completion"]

_NOTHING = SpeechPiece("", b"", [], [], 0.0)


@attrs.frozen
class SpokenAnswers:
    """The answers to one request: what they have in common, their voice, and what is kept of each."""

    header: AnswerHeader
    voice: AnswerVoice
    said: Sequence[SaidAnswer]
    older: bool = False
    """As in `chat_completion`."""


def new_audio_id() -> str:
    return f"audio_{uuid4().hex}"


async def spoken_completion(spoken: SpokenAnswers, events: AsyncIterator[SpokenEvent]) -> ChatCompletion:
    """The whole answers, each with a file whose header contains its length. Encodes in a thread.

    Raises:
        ServiceError: any error of the events.
    """
    pieces: list[list[SpeechPiece]] = [[] for _ in spoken.said]

    async def texts() -> AsyncGenerator[GenerationEvent, None]:
        async for event in events:
            if isinstance(event, SpokenPiece):
                pieces[event.index].append(event.piece)
            else:
                yield event

    answers = await collect_all(texts(), len(spoken.said))
    audio = [
        await _whole_audio(own, spoken.voice, said) if said.text else None
        for own, said in zip(pieces, spoken.said, strict=True)
    ]
    return chat_completion(spoken.header, answers, audio, older=spoken.older)


async def _whole_audio(pieces: Sequence[SpeechPiece], voice: AnswerVoice, said: SaidAnswer) -> ChatCompletionAudio:
    pcm = b"".join(piece.audio for piece in pieces)
    if not pcm:  # only marks: no player accepts an empty file
        pcm = bytes(round(QUIET_SECONDS * SAMPLE_RATE) * SAMPLE_BYTES)
    file = await asyncio.to_thread(encode_whole, voice.audio_format, pcm)
    return ChatCompletionAudio(
        id=said.id,
        data=b64encode(file).decode("ascii"),
        expires_at=said.expires_at,
        transcript=said.text,
        sample_rate=SAMPLE_RATE,
        duration=len(pcm) / SAMPLE_BYTES / SAMPLE_RATE,
        **_timings(
            voice,
            [word for piece in pieces for word in piece.words],
            [span for piece in pieces for span in piece.phonemes],
        ),
    )


class SpokenChunkEncoder(ChatChunkEncoder):
    """Writes text as `delta.audio.transcript`, and each spoken piece as `delta.audio.data` with its times.

    The audio of an answer ends with a chunk that has `expires_at`, before the chunk that has its `finish_reason`.
    """

    _TEXT: ClassVar = "transcript"

    def __init__(self, spoken: SpokenAnswers, *, include_usage: bool | None) -> None:
        self._voice = spoken.voice
        self._said = spoken.said
        self._samples = [0 for _ in spoken.said]
        super().__init__(spoken.header, include_usage=include_usage, n=len(spoken.said), older=spoken.older)

    def encode(self, events: Sequence[VoicedEvent]) -> bytes:
        written: list[bytes] = []
        for is_audio, group in groupby(events, lambda event: isinstance(event, AudioBytes)):
            if is_audio:
                written.extend(self._audio(event) for event in group if isinstance(event, AudioBytes))
            else:
                written.append(super().encode([event for event in group if not isinstance(event, AudioBytes)]))
        return b"".join(written)

    def _text_delta(self, text: str, index: int) -> ChatCompletionChunkDelta:
        return ChatCompletionChunkDelta(audio=AudioDelta(id=self._said[index].id, transcript=text))

    def _other(self, event: GenerationEvent) -> bytes:
        if not isinstance(event, Finished) or not self._said[event.index].text:
            return super()._other(event)
        said = self._said[event.index]
        end = AudioDelta(id=said.id, expires_at=said.expires_at, duration=self._samples[event.index] / SAMPLE_RATE)
        return self._delta(ChatCompletionChunkDelta(audio=end), event.index) + super()._other(event)

    def _audio(self, event: AudioBytes) -> bytes:
        if not event.audio and event.piece is None:
            return b""
        piece = _NOTHING if event.piece is None else event.piece.piece
        samples = len(piece.audio) // SAMPLE_BYTES
        before = self._samples[event.index]
        self._samples[event.index] += samples
        delta = AudioDelta(
            id=self._said[event.index].id,
            data=b64encode(event.audio).decode("ascii"),
            start_sample=before,
            samples=samples,
            sample_rate=SAMPLE_RATE,
            **_timings(self._voice, piece.words, piece.phonemes),
        )
        return self._delta(ChatCompletionChunkDelta(audio=delta), event.index)


def _timings(voice: AnswerVoice, words: Sequence[WordSpan], phonemes: Sequence[PhonemeSpan]) -> dict[str, Any]:
    if not voice.timings:
        return {}
    return {"words": speech_words(words), "visemes": speech_visemes(phonemes, voice.viseme_set)}
