"""The sound of spoken answers, encoded, and what is kept of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import ClassVar

from contracts.speech import AudioFormat
from providers.chat.types import Accepted, Finished, GenerationEvent, TextDelta
from providers.events import Event
from server.api.speech.encoders import FORMATS, AudioEncoder, new_encoder
from server.api.spoken.said import SaidAnswer, SaidAnswers
from server.api.spoken.speaking import SpeakingEvent, SpokenEvent, SpokenPiece, UnspokenWords

__all__ = ["AudioBytes", "VoicedEvent", "recorded", "voiced"]


class AudioBytes(Event, frozen=True):
    """The next bytes of an answer's file, and the piece that they hold; None for what was left in the encoder."""

    heavy: ClassVar[bool] = True

    audio: bytes
    piece: SpokenPiece | None
    index: int = 0


VoicedEvent = GenerationEvent | AudioBytes


async def recorded(
    events: AsyncGenerator[SpeakingEvent, None], said: Sequence[SaidAnswer], kept: SaidAnswers
) -> AsyncGenerator[SpokenEvent, None]:
    """The events, while each answer's text and words, said or not, are added to what is kept of it.

    Answers are kept once the request is accepted: those of refused ones would push out others.
    """
    async with aclosing(events):
        async for event in events:
            if isinstance(event, UnspokenWords):
                said[event.index].unspoken += event.words
                continue
            if isinstance(event, Accepted):
                for answer in said:
                    answer.ended = False
                    kept.keep(answer)
            elif isinstance(event, TextDelta):
                said[event.index].text += event.text
            elif isinstance(event, SpokenPiece):
                said[event.index].words += event.piece.words
            elif isinstance(event, Finished):
                said[event.index].ended = True
            yield event


async def voiced(
    events: AsyncGenerator[SpokenEvent, None], audio_format: AudioFormat
) -> AsyncGenerator[VoicedEvent, None]:
    """The events, with each piece as the next bytes of its answer's file. Encodes in a thread.

    Raises:
        UnsupportedParameter: this server cannot write the format. Raised before the first event is requested.
        ServiceError: any error of the events.
    """
    encoders: dict[int, AudioEncoder] = {0: await asyncio.to_thread(new_encoder, audio_format)}
    threaded = FORMATS[audio_format].needs_codec

    async def encoder(index: int) -> AudioEncoder:
        if index not in encoders:
            encoders[index] = await asyncio.to_thread(new_encoder, audio_format)
        return encoders[index]

    async with aclosing(events):
        async for event in events:
            if isinstance(event, SpokenPiece):
                encode, pcm = (await encoder(event.index)).encode, event.piece.audio
                yield AudioBytes(await asyncio.to_thread(encode, pcm) if threaded else encode(pcm), event, event.index)
            else:
                if isinstance(event, Finished):
                    rest = await asyncio.to_thread((await encoder(event.index)).finish)
                    yield AudioBytes(rest, None, event.index)
                yield event
