"""The work of a session's commands: answers by the chat's own code, and transcripts of turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from io import BytesIO
from uuid import uuid4

import attrs

from contracts.chat.request import ChatCompletionRequest
from contracts.realtime.items import RealtimeContent, RealtimeItem, RealtimeMessage
from contracts.realtime.session import RealtimeSessionConfig, RealtimeTranscription
from providers.chat.protocol import ChatProvider
from providers.errors import InvalidRequest, ModelNotFound, UnsupportedParameter
from providers.speech.protocol import SPEECH
from providers.transcription.protocol import TRANSCRIPTION, TranscriptionProvider
from providers.transcription.types import TranscriptionRequest
from server.api.chat.request import to_generation_request
from server.api.generation.messages import chat_attachments
from server.api.generation.parts.pictures import documents, readable, shown
from server.api.realtime.audio.sound import writer_of
from server.api.realtime.prompt import chat_request
from server.api.realtime.response import RunningResponse, Speech
from server.api.realtime.settings import input_of, output_of
from server.api.speech.encoders import encode_whole
from server.api.spoken.audio import VoicedEvent, recorded, voiced
from server.api.spoken.speaking import speaking
from server.api.spoken.voice import answer_voice
from server.api.spoken.wire import AudioParts, new_answer
from server.api.transcription.request import spoken_language
from server.api.transcription.response import collect_transcript
from server.api.transcription.uploads import on_disk
from server.dependencies import Service
from server.media.attachments import Seen

__all__ = ["answered", "check_voice", "prefilled", "transcriber", "transcript"]


async def answered(
    response: RunningResponse, chat: ChatProvider, service: Service
) -> AsyncGenerator[VoicedEvent, None]:
    """The events of a response, spoken if its settings ask for that. Sets `response.speech` before the first one.

    Raises:
        ServiceError: any error of the models, and of a setting that only they can check.
    """
    request = chat_request(response.config, [item.wire for item in response.prompt])
    if not request.messages:
        raise InvalidRequest("there is nothing to answer: the conversation has no text, and there are no instructions")
    asked = to_generation_request(request, await _seen(request, service, chat), id=response.id)
    voice = await answer_voice(request, request.modalities, service.registry, request_id=response.id)
    events = chat.generate(asked)
    if voice is None:
        async with aclosing(events):
            async for event in events:
                yield event
        return
    said = new_answer(service.said, response.id, model=chat.spec.name, request_id=response.id)
    response.speech = Speech(AudioParts(voice), said, writer_of(output_of(response.config).format))
    spoken = recorded(speaking(events, voice.speak, speed=voice.speed), [said], service.said)
    async with aclosing(voiced(spoken, "pcm")) as parts:
        async for part in parts:
            yield part


async def _seen(request: ChatCompletionRequest, service: Service, chat: ChatProvider) -> Seen:
    """The pictures of the conversation, as the model reads them."""
    found = readable(chat_attachments(request.messages), chat)
    if not found:
        return {}
    return (await shown(found, service, documents(service, service.retrieval, chat).contents, chat)).seen


async def transcript(pcm: bytes, config: RealtimeSessionConfig, service: Service, *, id: str) -> str:
    """What a turn of the user says. `pcm`: at 24 kHz.

    Raises:
        UnsupportedParameter: no model transcribes.
        ServiceError: any error of the model.
    """
    settings = input_of(config).transcription or RealtimeTranscription()
    provider = transcriber(config, service)
    async with on_disk(BytesIO(encode_whole("wav", pcm))) as file:
        asked = TranscriptionRequest(
            id=id,
            path=str(file),
            language=spoken_language(settings.language),
            prompt=settings.prompt,
            max_seconds=service.max_audio_seconds or None,
        )
        async with aclosing(provider.transcribe(asked)) as events:
            return (await collect_transcript(events)).text.strip()


async def check_voice(config: RealtimeSessionConfig, service: Service) -> None:
    """Refuse settings whose voice no model has.

    Raises:
        ModelNotFound, InvalidRequest.
    """
    request = chat_request(config, [])
    if request.audio is None or not service.registry.available(SPEECH):
        return
    try:
        await answer_voice(request, request.modalities, service.registry, request_id="")
    except (InvalidRequest, ModelNotFound) as error:
        path = (error.param or "").replace("audio.", "session.audio.output.", 1)
        raise type(error)(error.message.replace("audio.", "session.audio.output.", 1), param=path) from None


async def prefilled(
    words: str, items: Iterable[RealtimeItem], config: RealtimeSessionConfig, chat: ChatProvider, service: Service
) -> None:
    """Compute the prompt of the next answer, as far as the user has said it.

    Raises:
        ServiceError: any error of the model.
    """
    said = RealtimeMessage(role="user", content=[RealtimeContent(type="input_audio", transcript=words)])
    request = chat_request(config, [*items, said])
    only = attrs.evolve(request, prefill_only=True, modalities=None, audio=None, stream=None)
    asked = to_generation_request(only, await _seen(only, service, chat), id=f"ahead_{uuid4().hex}")
    async with aclosing(chat.generate(asked)) as events:
        async for _ in events:
            pass


def transcriber(config: RealtimeSessionConfig, service: Service) -> TranscriptionProvider:
    """The model that writes down what the user says.

    Raises:
        UnsupportedParameter, ModelNotFound: there is none.
    """
    name = (input_of(config).transcription or RealtimeTranscription()).model
    available = service.registry.available(TRANSCRIPTION)
    if not available:
        raise UnsupportedParameter("audio: this server has no model that transcribes", param="audio")
    if not name:
        return available[0]
    try:
        return service.registry.find(TRANSCRIPTION, name)
    except ModelNotFound:
        if len(available) == 1:
            return available[0]
        raise
