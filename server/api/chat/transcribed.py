"""Recordings in the turns of a chat, as their transcripts."""

from __future__ import annotations

from typing import Any

import attrs
from litestar import Request

from contracts.chat.messages import (
    ChatCompletionRequestMessageContentPartAudio,
    ChatCompletionRequestMessageContentPartText,
    ContentPart,
)
from contracts.chat.request import ChatCompletionRequest
from server.api.generation.parts.attached import has_parts, with_parts
from server.api.generation.parts.recordings import hearing
from server.dependencies import Service

__all__ = ["with_transcripts"]


async def with_transcripts(
    data: ChatCompletionRequest, request: Request[Any, Any, Any], service: Service
) -> ChatCompletionRequest:
    """The request, with a text in the place of every recording, if it or the server's option asks for that. Recordings
    in turns of tools and of the assistant stay.

    Raises:
        UnsupportedParameter: no model transcribes.
        InvalidRequest: a recording cannot be read.
        ServiceError: any error of the model that transcribes.
        ClientDisconnected, ModelNotReady: the client or the server ended first.
    """
    if not has_parts(data.messages, ChatCompletionRequestMessageContentPartAudio, own=True):
        return data
    heard = hearing(data.audio_input, request, service)
    if heard is None:
        return data

    async def text(part: ChatCompletionRequestMessageContentPartAudio, path: str, own: bool) -> ContentPart:
        if not own:
            return part
        said = await heard.text(part.input_audio.data, f"{path}.input_audio.data")
        return ChatCompletionRequestMessageContentPartText(type="text", text=said)

    async with service.answering(request.receive):
        messages = await with_parts(data.messages, ChatCompletionRequestMessageContentPartAudio, text)
    return attrs.evolve(data, messages=messages)
