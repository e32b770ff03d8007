"""A chat answer, from the domain to the wire: whole, or as chunks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from uuid import uuid4

import attrs
import msgspec

from contracts.chat import (
    ChatCompletion,
    ChatCompletionChoice,
    ChatCompletionChunk,
    ChatCompletionChunkChoice,
    ChatCompletionChunkDelta,
    ChatCompletionMessage,
    FinishReason,
)
from contracts.usage import CompletionUsage, PromptTokensDetails
from providers.generation import Accepted, Finished, GenerationEvent, TextDelta, Usage
from server.translate.answer import Answer
from server.wire import converter, encode_json

__all__ = ["ChatChunkEncoder", "ChatHeader", "chat_completion", "completion_usage"]

_SLOT = "\N{OBJECT REPLACEMENT CHARACTER}"
_encode_text = msgspec.json.Encoder().encode


@attrs.frozen(kw_only=True)
class ChatHeader:
    """What is the same on a whole answer and on each of its chunks."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    request_id: str

    @classmethod
    def new(cls, *, model: str, version: str, request_id: str) -> ChatHeader:
        """The header of an answer that begins now. The fingerprint changes with the model and the server's version."""
        digest = hashlib.sha256(f"{version}\0{model}".encode()).hexdigest()
        return cls(
            id=f"chatcmpl-{uuid4().hex}",
            created=int(time.time()),
            model=model,
            system_fingerprint=f"fp_{digest[:10]}",
            request_id=request_id,
        )


def completion_usage(usage: Usage) -> CompletionUsage:
    return CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cached_tokens),
    )


def chat_completion(header: ChatHeader, answer: Answer) -> ChatCompletion:
    choice = ChatCompletionChoice(
        message=ChatCompletionMessage(content=answer.text), finish_reason=answer.finish_reason
    )
    return ChatCompletion(
        id=header.id,
        created=header.created,
        model=header.model,
        system_fingerprint=header.system_fingerprint,
        request_id=header.request_id,
        choices=[choice],
        usage=completion_usage(answer.usage),
    )


class ChatChunkEncoder:
    """Writes the events of one answer as `data:` lines.

    One chunk a decode step is the hottest path of the server: what is constant in a text chunk is encoded once.
    `include_usage` is `stream_options.include_usage`: see `ChatCompletionStreamOptions`. As with OpenAI, every
    chunk before the last then carries `"usage": null`.
    """

    def __init__(self, header: ChatHeader, *, include_usage: bool | None) -> None:
        self._header = header
        self._include_usage = include_usage
        template = self._event([ChatCompletionChunkChoice(delta=ChatCompletionChunkDelta(content=_SLOT))])
        # With its key, which no JSON string can hold unescaped: a model may be called anything.
        before, key, self._after = template.partition(b'"content":' + _encode_text(_SLOT))
        self._before = before + key.removesuffix(_encode_text(_SLOT))

    def encode(self, events: Sequence[GenerationEvent]) -> bytes:
        """The chunks of these events; neighbouring pieces of text become one chunk."""
        written: list[bytes] = []
        text: list[str] = []
        for event in events:
            if isinstance(event, TextDelta):
                text.append(event.text)
                continue
            written.extend(self._text(text))
            text = []
            if isinstance(event, Accepted):
                written.append(
                    self._event([ChatCompletionChunkChoice(delta=ChatCompletionChunkDelta(role="assistant"))])
                )
            elif isinstance(event, Finished):
                written.append(self._finish(event.finish_reason, event.usage))
        written.extend(self._text(text))
        return b"".join(written)

    def _text(self, pieces: list[str]) -> Sequence[bytes]:
        text = pieces[0] if len(pieces) == 1 else "".join(pieces)
        return (self._before, _encode_text(text), self._after) if text else ()

    def _finish(self, reason: FinishReason, usage: Usage) -> bytes:
        choices = [ChatCompletionChunkChoice(delta=ChatCompletionChunkDelta(), finish_reason=reason)]
        if self._include_usage is None:
            return self._event(choices, completion_usage(usage))
        finish = self._event(choices)
        return finish + self._event([], completion_usage(usage)) if self._include_usage else finish

    def _event(self, choices: list[ChatCompletionChunkChoice], usage: CompletionUsage | None = None) -> bytes:
        header = self._header
        chunk = ChatCompletionChunk(
            id=header.id,
            created=header.created,
            model=header.model,
            system_fingerprint=header.system_fingerprint,
            request_id=header.request_id,
            choices=choices,
            usage=usage,
        )
        fields = converter.unstructure(chunk)
        if self._include_usage:
            fields.setdefault("usage", None)
        return b"data: " + encode_json(fields) + b"\n\n"
