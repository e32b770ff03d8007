"""Responses with speech: the output's text as without, and beside it the sound, words and visemes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from itertools import groupby

import attrs

from contracts.responses.events import (
    ResponseAudioDeltaEvent,
    ResponseAudioDoneEvent,
    ResponseAudioTranscriptDeltaEvent,
    ResponseAudioTranscriptDoneEvent,
)
from contracts.responses.response import Response, ResponseAudio
from providers.chat.types import Finished
from providers.errors import ServiceError
from providers.speech.types import SAMPLE_RATE, SpeechPiece
from server.api.responses.hosted.image_generation import PaintedEvent
from server.api.responses.response import ResponseDraft, whole_response
from server.api.responses.stream import ResponseStreamEncoder, event_bytes
from server.api.speech.response import unspoken_texts
from server.api.spoken.audio import AudioBytes, VoicedEvent
from server.api.spoken.said import SaidAnswer
from server.api.spoken.speaking import SpokenEvent
from server.api.spoken.voice import AnswerVoice
from server.api.spoken.wire import AudioParts, texts, whole_audio

__all__ = ["SpokenResponseEncoder", "spoken_response", "without_sound"]


async def spoken_response(
    draft: ResponseDraft, events: AsyncIterator[SpokenEvent], voice: AnswerVoice, said: SaidAnswer
) -> Response:
    """The whole response, with a file whose header contains its length. Encodes in a thread.

    Raises:
        ServiceError: any error of the events.
    """
    pieces: list[SpeechPiece] = []
    response = await whole_response(draft, texts(events, [pieces]))
    if not said.text:
        return response
    return attrs.evolve(response, audio=ResponseAudio(**await whole_audio(pieces, voice, said)))


def without_sound(response: Response) -> Response:
    """The response as it is stored: the text of its audio, without the sound and its times."""
    if response.audio is None:
        return response
    return attrs.evolve(
        response, audio=attrs.evolve(response.audio, data=None, words=None, visemes=None, gestures=None)
    )


class SpokenResponseEncoder(ResponseStreamEncoder):
    """Writes each spoken piece as `response.audio.delta`, after the text that it says.

    The audio ends before the last item does. The ended response has an `audio` without sound.
    """

    def __init__(
        self, draft: ResponseDraft, on_end: Callable[[Response], None], voice: AnswerVoice, said: SaidAnswer
    ) -> None:
        super().__init__(draft, on_end)
        self._said = said
        self._parts = AudioParts(voice)
        self._transcribed = 0
        """The characters of the text that transcript events have."""

    def encode(self, events: Sequence[VoicedEvent | PaintedEvent]) -> bytes:
        written: list[bytes] = []
        for is_audio, group in groupby(events, lambda event: isinstance(event, AudioBytes)):
            if is_audio:
                written.extend(self._audio(event) for event in group if isinstance(event, AudioBytes))
            else:
                written.append(super().encode([event for event in group if not isinstance(event, AudioBytes)]))
        return b"".join(written)

    def failure(self, error: ServiceError) -> bytes:
        self._refer()
        return super().failure(error)

    def close(self) -> None:
        self._refer()
        super().close()

    def _finish(self, event: Finished) -> bytes:
        end = self._end_of_audio() if self._said.text else b""
        self._refer()
        return end + super()._finish(event)

    def _refer(self) -> None:
        """Give the response its audio, by which later requests refer to it."""
        said = self._said
        if said.text:
            self._draft.audio = ResponseAudio(
                id=said.id,
                expires_at=said.expires_at,
                transcript=said.text,
                sample_rate=SAMPLE_RATE,
                duration=self._parts.duration,
                unspoken=unspoken_texts(said.unspoken),
            )

    def _audio(self, event: AudioBytes) -> bytes:
        part = self._parts.of(event)
        if part is None:
            return b""
        text = b"" if event.piece is None else self._transcript(event.piece.piece.end_char)
        delta = ResponseAudioDeltaEvent(
            audio_id=self._said.id, delta=part.pop("audio"), sequence_number=self._draft.output.number(), **part
        )
        return text + event_bytes(delta)

    def _transcript(self, end: int) -> bytes:
        text = self._said.text[self._transcribed : end]
        if not text:
            return b""
        self._transcribed = end
        number = self._draft.output.number()
        return event_bytes(
            ResponseAudioTranscriptDeltaEvent(audio_id=self._said.id, delta=text, sequence_number=number)
        )

    def _end_of_audio(self) -> bytes:
        said, number = self._said, self._draft.output.number
        rest = self._transcript(len(said.text))
        transcript = ResponseAudioTranscriptDoneEvent(audio_id=said.id, transcript=said.text, sequence_number=number())
        audio = ResponseAudioDoneEvent(
            audio_id=said.id,
            expires_at=said.expires_at,
            duration=self._parts.duration,
            unspoken=unspoken_texts(said.unspoken),
            sequence_number=number(),
        )
        return rest + event_bytes(transcript) + event_bytes(audio)
