"""`/v1/audio/speech` and `/v1/audio/voices`."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from litestar import Controller, MediaType, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

import otel
from contracts.speech import CreateSpeechRequest, HeadTtsSpeech, SpeechWithTimings
from contracts.voices import NamedId, SpeechModelList, Voice, VoiceList
from providers.speech.protocol import SPEECH, SpeechProvider
from providers.speech.turns import requests_of
from providers.speech.types import SpeechRequest, VoiceInfo
from providers.speech.voices import OPENAI_VOICES
from server.api.error_responses import ANSWERING, errors
from server.api.openapi import SpeechOperation
from server.api.speech.encoders import FORMATS
from server.api.speech.pieces import audible, collected, encoded
from server.api.speech.request import SpeechAnswer, speech_answer, to_speech_request
from server.api.speech.response import SpeechEventEncoder, SpeechHeader, speech_with_timings, unspoken_headers
from server.dependencies import Service, ServiceDependency, provide
from server.guards import QUEUE, json_body
from server.streaming.audio import AudioStream
from server.streaming.response import StreamResponse

__all__ = ["SpeechController"]

Speech = NamedDependency[SkipValidation[SpeechProvider]]


class SpeechController(Controller):
    path = "/v1/audio"
    tags = ("Audio",)

    @post(
        "/speech",
        before_request=json_body,
        dependencies={"speech": provide(SPEECH)},
        opt={QUEUE: SPEECH},
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createSpeech",
        name="audio.speech.create",
        summary="Synthesize speech",
        description=(
            "Streams audio while it is made. Responds with server-sent events when `stream_format` is `sse`, and with "
            "one JSON object, with the times of words and visemes, when `include_visemes` is true."
        ),
        operation_class=SpeechOperation,
        responses=errors(*ANSWERING),
    )
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[CreateSpeechRequest],
        speech: Speech,
        service: ServiceDependency,
    ) -> Response[SpeechWithTimings | HeadTtsSpeech]:
        answer = speech_answer(data)
        info = FORMATS[answer.audio_format]
        # A client that sends `audio` or `stream` wants a stream, even where common decoders cannot read one.
        undecided = data.stream_format is None and data.stream is None
        whole = not answer.events and (answer.timings or data.stream is False or (info.wants_length and undecided))
        asked = to_speech_request(
            data, id=otel.request_id.get() or "", streamed=not whole, max_characters=service.max_speech_characters
        )
        header = SpeechHeader(model=speech.spec.name, request_id=asked.id)
        if answer.events:
            source = aclosing(encoded(audible(speech.speak(asked)), answer.audio_format))
            encoder = SpeechEventEncoder(header, answer, characters=sum(len(turn.text) for turn in requests_of(asked)))
            return service.streamed(source, encoder)
        if whole:
            return await _whole(request, speech, service, asked, answer, header)
        source = aclosing(encoded(audible(speech.speak(asked)), answer.audio_format))
        return StreamResponse(
            AudioStream(source, info.media_type, disposition=_disposition(answer), drain=service.drain)
        )

    @get(
        "/voices",
        operation_id="listVoices",
        name="audio.voices.list",
        summary="List the voices of every model that speaks",
        description="A model whose files are not on this machine yet has none: listing fetches nothing.",
        responses=errors(401, 500, 503),
    )
    async def voices(self, request: Request[Any, Any, Any], service: ServiceDependency) -> VoiceList:
        async with service.answering(request.receive):
            voices = [
                _voice(voice, provider.spec.name)
                for provider in service.registry.available(SPEECH)
                for voice in await provider.voices()
                if voice.spoken
            ]
        return VoiceList(data=voices, voices=[NamedId(id=voice.id, name=voice.name) for voice in voices])

    @get(
        "/models",
        operation_id="listSpeechModels",
        name="audio.models.list",
        summary="List the models that speak",
        responses=errors(401, 500),
    )
    async def models(self, service: ServiceDependency) -> SpeechModelList:
        names = [provider.spec.name for provider in service.registry.available(SPEECH)]
        return SpeechModelList(models=[NamedId(id=name, name=name) for name in names])


async def _whole(
    request: Request[Any, Any, Any],
    speech: SpeechProvider,
    service: Service,
    asked: SpeechRequest,
    answer: SpeechAnswer,
    header: SpeechHeader,
) -> Response[Any]:
    """The whole utterance: JSON with its timings, or a file whose header contains its length."""
    async with service.answering(request.receive):
        audio, pieces, finished = await collected(audible(speech.speak(asked)), answer.audio_format)
    if answer.timings:
        return Response(speech_with_timings(header, answer, pieces, finished, audio), media_type="application/json")
    headers = {name.decode(): value.decode() for name, value in unspoken_headers(finished.unspoken)}
    headers["content-disposition"] = _disposition(answer)
    return Response(audio, media_type=FORMATS[answer.audio_format].media_type, headers=headers)


def _disposition(answer: SpeechAnswer) -> str:
    """`Content-Disposition`, with the name that Kokoro-FastAPI gives its files."""
    return f'attachment; filename="speech.{answer.audio_format}"'


def _voice(voice: VoiceInfo, model: str) -> Voice:
    return Voice(
        id=voice.id,
        name=voice.name,
        language=voice.language,
        gender=voice.gender,
        model=model,
        aliases=sorted(alias for alias, id in OPENAI_VOICES.items() if id == voice.id),
    )
