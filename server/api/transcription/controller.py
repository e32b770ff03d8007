"""`/v1/audio/transcriptions` and `/v1/audio/translations`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from litestar import Controller, MediaType, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import MultipartBody, SkipValidation

import otel
from contracts.transcription import (
    CreateTranscriptionRequest,
    CreateTranslationRequest,
    Transcription,
    TranscriptionVerbose,
)
from providers.transcription.protocol import TRANSCRIPTION, TranscriptionProvider
from providers.transcription.types import TranscriptionEvent
from server.api.error_responses import ANSWERING, errors
from server.api.openapi import TranscriptionOperation
from server.api.transcription.request import TranscriptAnswer, to_transcription_request, transcript_answer
from server.api.transcription.response import (
    TranscriptEncoder,
    WholeTranscript,
    collect_transcript,
    transcription,
    transcription_verbose,
)
from server.api.transcription.subtitles import srt, vtt
from server.api.transcription.uploads import on_disk
from server.dependencies import Service, ServiceDependency, provide_from_form
from server.forms import FormDTO
from server.guards import QUEUE

__all__ = ["TranscriptionController"]

Transcriber = NamedDependency[SkipValidation[TranscriptionProvider]]

# Litestar adds the charset only to text/plain.
_TEXT_TYPES = {
    "text": "text/plain",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt",
}


class TranscriptionController(Controller):
    path = "/v1/audio"
    tags = ("Audio",)
    dependencies = {"transcriber": provide_from_form(TRANSCRIPTION)}  # noqa: RUF012

    @post(
        "/transcriptions",
        dto=FormDTO[CreateTranscriptionRequest],
        opt={QUEUE: TRANSCRIPTION},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createTranscription",
        name="audio.transcriptions.create",
        summary="Transcribe a recording",
        description="Responds in the format of `response_format`, or with server-sent events when `stream` is true.",
        operation_class=TranscriptionOperation,
        responses=errors(*ANSWERING),
    )
    async def transcribe(
        self,
        request: Request[Any, Any, Any],
        data: MultipartBody[CreateTranscriptionRequest],
        transcriber: Transcriber,
        service: ServiceDependency,
    ) -> Response[Transcription | TranscriptionVerbose]:
        return await _answer(request, data, transcriber, service)

    @post(
        "/translations",
        dto=FormDTO[CreateTranslationRequest],
        opt={QUEUE: TRANSCRIPTION},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createTranslation",
        name="audio.translations.create",
        summary="Translate a recording into English text",
        description="Works as `/v1/audio/transcriptions`. Needs a multilingual model.",
        operation_class=TranscriptionOperation,
        responses=errors(*ANSWERING),
    )
    async def translate(
        self,
        request: Request[Any, Any, Any],
        data: MultipartBody[CreateTranslationRequest],
        transcriber: Transcriber,
        service: ServiceDependency,
    ) -> Response[Transcription | TranscriptionVerbose]:
        return await _answer(request, data, transcriber, service)


async def _answer(
    request: Request[Any, Any, Any],
    data: CreateTranscriptionRequest | CreateTranslationRequest,
    transcriber: TranscriptionProvider,
    service: Service,
) -> Response[Any]:
    answer = transcript_answer(data)
    events = aclosing(_events(data, answer, transcriber, max_seconds=service.max_audio_seconds or None))
    if answer.stream:
        return service.streamed(events, TranscriptEncoder(answer))
    async with service.answering(request.receive), events as source:
        whole = await collect_transcript(source)
    return _written(whole, answer)


async def _events(
    data: CreateTranscriptionRequest | CreateTranslationRequest,
    answer: TranscriptAnswer,
    transcriber: TranscriptionProvider,
    *,
    max_seconds: float | None,
) -> AsyncGenerator[TranscriptionEvent, None]:
    """The events of the answer. The recording is on disk from before the first event until after the last."""
    async with on_disk(data.file) as path:
        asked = to_transcription_request(
            data, answer, id=otel.request_id.get() or "", path=path, max_seconds=max_seconds
        )
        async with aclosing(transcriber.transcribe(asked)) as events:
            async for event in events:
                yield event


def _written(whole: WholeTranscript, answer: TranscriptAnswer) -> Response[Any]:
    match answer.format:
        case "json":
            return Response(transcription(whole, answer))
        case "verbose_json":
            return Response(transcription_verbose(whole, answer))
        case "srt":
            text = srt(whole.segments)
        case "vtt":
            text = vtt(whole.segments)
        case _:
            text = whole.text + "\n"
    return Response(text.encode(), media_type=_TEXT_TYPES[answer.format])
