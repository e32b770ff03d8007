"""Chat completions with speech: the answer's text as a transcript, with its sound, words and visemes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import ClassVar

import attrs

from contracts.chat.audio import AudioDelta, ChatCompletionAudio
from contracts.chat.response import ChatCompletion, ChatCompletionChunkDelta
from providers.chat.types import Finished, GenerationEvent
from providers.speech.types import SpeechPiece
from server.api.chat.response import ChatChunkEncoder, chat_completion
from server.api.generation.collect import collect_all
from server.api.generation.header import AnswerHeader
from server.api.grounding.answer import GroundedAnswer
from server.api.speech.response import unspoken_texts
from server.api.spoken.audio import AudioBytes, VoicedEvent
from server.api.spoken.said import SaidAnswer
from server.api.spoken.speaking import SpokenEvent
from server.api.spoken.voice import AnswerVoice
from server.api.spoken.wire import AudioParts, texts, whole_audio

__all__ = ["SpokenAnswers", "SpokenChunkEncoder", "spoken_completion"]


@attrs.frozen
class SpokenAnswers:
    """The answers to one request: what they have in common, their voice, and what is kept of each."""

    header: AnswerHeader
    voice: AnswerVoice
    said: Sequence[SaidAnswer]
    older: bool = False
    """As in `chat_completion`."""
    answer: GroundedAnswer | None = None
    """The source of the text, if it may have a grounding."""


async def spoken_completion(spoken: SpokenAnswers, events: AsyncIterator[SpokenEvent]) -> ChatCompletion:
    """The whole answers, each with a file whose header contains its length. Encodes in a thread.

    Raises:
        ServiceError: any error of the events.
    """
    pieces: list[list[SpeechPiece]] = [[] for _ in spoken.said]
    answers = await collect_all(texts(events, pieces), len(spoken.said))
    audio = [
        ChatCompletionAudio(**await whole_audio(own, spoken.voice, said)) if said.text else None
        for own, said in zip(pieces, spoken.said, strict=True)
    ]
    return chat_completion(
        spoken.header,
        answers,
        audio,
        older=spoken.older,
        grounding=spoken.answer.grounding if spoken.answer else None,
    )


class SpokenChunkEncoder(ChatChunkEncoder):
    """Writes text as `delta.audio.transcript`, and each spoken piece as `delta.audio.data` with its times.

    The audio of an answer ends with a chunk that has `expires_at`, before the chunk that has its `finish_reason`.
    """

    _TEXT: ClassVar = "transcript"

    def __init__(self, spoken: SpokenAnswers, *, include_usage: bool | None) -> None:
        self._said = spoken.said
        self._parts = [AudioParts(spoken.voice) for _ in spoken.said]
        super().__init__(
            spoken.header,
            include_usage=include_usage,
            n=len(spoken.said),
            older=spoken.older,
            answer=spoken.answer,
        )

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
        end = AudioDelta(
            id=said.id,
            expires_at=said.expires_at,
            duration=self._parts[event.index].duration,
            unspoken=unspoken_texts(said.unspoken),
        )
        return self._delta(ChatCompletionChunkDelta(audio=end), event.index) + super()._other(event)

    def _audio(self, event: AudioBytes) -> bytes:
        part = self._parts[event.index].of(event)
        if part is None:
            return b""
        delta = AudioDelta(id=self._said[event.index].id, data=part.pop("audio"), **part)
        return self._delta(ChatCompletionChunkDelta(audio=delta), event.index)
