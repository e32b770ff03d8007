"""Spoken pieces, encoded as bytes of a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import ClassVar

from msgspec import structs

from contracts.speech import AudioFormat
from providers.errors import InternalError
from providers.events import Event
from providers.speech.types import SAMPLE_RATE, PhonemeSpan, SpeechAccepted, SpeechEvent, SpeechFinished, SpeechPiece
from server.api.speech.encoders import FORMATS, encode_whole, new_encoder

__all__ = ["QUIET_SECONDS", "EncodedAudio", "audible", "collected", "encoded"]

QUIET_SECONDS = 0.25
"""Length of an utterance without words, such as one emoji or three dots."""


class EncodedAudio(Event, frozen=True):
    """The next bytes of a file, and their piece; None for the bytes that were left in the encoder."""

    heavy: ClassVar[bool] = True

    audio: bytes
    piece: SpeechPiece | None


async def audible(events: AsyncGenerator[SpeechEvent, None]) -> AsyncGenerator[SpeechEvent, None]:
    """The events, with a piece of silence where there is no speech: no player accepts an empty file."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, SpeechFinished) and event.samples == 0:
                samples = round(QUIET_SECONDS * SAMPLE_RATE)
                yield SpeechPiece("", bytes(2 * samples), [PhonemeSpan("", 0, samples)], [], 0.0)
                event = structs.replace(event, samples=samples)
            yield event


async def encoded(
    events: AsyncGenerator[SpeechEvent, None], audio_format: AudioFormat
) -> AsyncGenerator[SpeechAccepted | EncodedAudio | SpeechFinished, None]:
    """The events, with each piece as the next bytes of one file of this format. Encodes in a thread.

    Raises:
        UnsupportedParameter: this server cannot write the format. Raised before the first event is requested.
    """
    encoder = await asyncio.to_thread(new_encoder, audio_format)
    threaded = FORMATS[audio_format].needs_codec
    async with aclosing(events):
        async for event in events:
            if isinstance(event, SpeechPiece):
                pcm = event.audio
                yield EncodedAudio(
                    await asyncio.to_thread(encoder.encode, pcm) if threaded else encoder.encode(pcm), event
                )
            elif isinstance(event, SpeechFinished):
                yield EncodedAudio(await asyncio.to_thread(encoder.finish), None)
                yield event
            else:
                yield event


async def collected(
    events: AsyncGenerator[SpeechEvent, None], audio_format: AudioFormat
) -> tuple[bytes, list[SpeechPiece], SpeechFinished]:
    """The whole utterance: a file with its length in its header, the pieces, and the last event. Encodes in a thread.

    Raises:
        ServiceError: any error of the events, and those of `encoded`.
    """
    await asyncio.to_thread(new_encoder, audio_format)  # refuses a format that cannot be written before the work starts
    pieces: list[SpeechPiece] = []
    async with aclosing(events):
        async for event in events:
            if isinstance(event, SpeechPiece):
                pieces.append(event)
            elif isinstance(event, SpeechFinished):
                audio = await asyncio.to_thread(encode_whole, audio_format, b"".join(piece.audio for piece in pieces))
                return audio, pieces, event
    raise InternalError.truncated("speech")
