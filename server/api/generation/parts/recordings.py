"""Sound in turns, as the text that a model of this server hears in it."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from io import BytesIO
from typing import Any

import attrs
from litestar import Request

import otel
from contracts.chat.request import AudioInput
from providers.errors import InvalidRequest, UnsupportedParameter
from providers.transcription.protocol import TRANSCRIPTION, TranscriptionProvider
from providers.transcription.types import TranscriptionRequest
from server.api.transcription.response import collect_transcript
from server.api.transcription.uploads import on_disk
from server.dependencies import Service
from server.media.media import MediaRefused
from server.middleware.request import TRANSCRIBED_BY

__all__ = ["MAX_RECORDINGS", "Hearing", "hearing"]

MAX_RECORDINGS = 16
"""Recordings of a request."""


def hearing(asked: AudioInput | None, request: Request[Any, Any, Any], service: Service) -> Hearing | None:
    """What transcribes the recordings of this request. None: neither it (`asked`) nor the server's option wants that.

    The response's header `X-Transcription-Model` names the model.

    Raises:
        UnsupportedParameter: no model transcribes.
    """
    if (asked or service.audio_input) != "transcribe":
        return None
    able = service.registry.available(TRANSCRIPTION)
    if not able:
        message = "audio_input: this server has no model that transcribes"
        raise UnsupportedParameter(message, param="audio_input")
    request.scope["state"][TRANSCRIBED_BY] = able[0].spec.name
    return Hearing(service, able[0])


@attrs.define
class Hearing:
    """Transcribes the recordings of one request, one after the other."""

    service: Service
    transcriber: TranscriptionProvider
    _heard: int = attrs.field(default=0, init=False)

    async def text(self, data: str, place: str) -> str:
        """The transcript of a recording in base64. `place`: the path of its field.

        Raises:
            InvalidRequest: it cannot be read, or there are too many.
            ServiceError: any error of the model.
        """
        self._heard += 1
        if self._heard > MAX_RECORDINGS:
            raise InvalidRequest(f"{place}: a request may have up to {MAX_RECORDINGS} recordings", param=place)
        try:
            media = await self.service.media.read_inline(data)
        except MediaRefused as error:
            raise InvalidRequest(f"{place}: the recording cannot be read: {error}", param=place) from None
        return await self._transcript(media.content, place)

    async def _transcript(self, content: bytes, place: str) -> str:
        """The transcript, which is kept for later turns: they repeat the recording."""
        digest = (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()
        kept, key = self.service.transcripts, f"{self.transcriber.spec.name}:{digest}"
        text = kept.get(key)
        if text is None:
            text = await self._transcribed(content, place)
            kept.put(key, text, 4 * (len(key) + len(text)))
        return text

    async def _transcribed(self, content: bytes, place: str) -> str:
        async with on_disk(BytesIO(content)) as file:
            asked = TranscriptionRequest(
                id=f"{otel.request_id.get() or ''}-{self._heard}",
                path=str(file),
                max_seconds=self.service.max_audio_seconds or None,
            )
            try:
                async with aclosing(self.transcriber.transcribe(asked)) as events:
                    return (await collect_transcript(events)).text
            except InvalidRequest as error:
                message = f"{place}: the recording cannot be transcribed: {error.message}"
                raise InvalidRequest(message, param=place) from None
