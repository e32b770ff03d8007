"""A chat's answers, from the domain to the wire: whole, or as chunks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from uuid import uuid4

import attrs
import msgspec

from contracts.chat.response import (
    ChatCompletion,
    ChatCompletionChoice,
    ChatCompletionChunk,
    ChatCompletionChunkChoice,
    ChatCompletionChunkDelta,
    ChatCompletionMessage,
    ChatCompletionTokenLogprob,
    ChoiceLogprobs,
    TopLogprob,
)
from contracts.chat.tools import (
    ChatCompletionMessageToolCall,
    ChatCompletionMessageToolCallChunk,
    ChatCompletionMessageToolCallChunkFunction,
    ChatCompletionMessageToolCallFunction,
)
from contracts.usage import CompletionUsage
from providers.chat.types import (
    Accepted,
    Finished,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from server.api.generation.collect import Answer, ToolCall, total_usage
from server.api.generation.usage import completion_usage
from server.serialization import converter, encode_json

__all__ = ["ChatChunkEncoder", "ChatHeader", "chat_completion", "choice_logprobs", "finite_logprob"]

_SLOT = "\N{OBJECT REPLACEMENT CHARACTER}"
_LEAST_LOGPROB = -9999.0
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
    def new(cls, *, model: str, version: str, request_id: str, prefix: str = "chatcmpl") -> ChatHeader:
        """The header of an answer that begins now. The fingerprint changes with the model and the server's version."""
        digest = hashlib.sha256(f"{version}\0{model}".encode()).hexdigest()
        return cls(
            id=f"{prefix}-{uuid4().hex}",
            created=int(time.time()),
            model=model,
            system_fingerprint=f"fp_{digest[:10]}",
            request_id=request_id,
        )


def chat_completion(header: ChatHeader, answers: Sequence[Answer]) -> ChatCompletion:
    """The answers to one prompt, in their order."""
    return ChatCompletion(
        id=header.id,
        created=header.created,
        model=header.model,
        system_fingerprint=header.system_fingerprint,
        request_id=header.request_id,
        choices=[
            ChatCompletionChoice(
                index=index,
                message=_message(answer),
                logprobs=None if answer.logprobs is None else choice_logprobs(answer.logprobs),
                finish_reason=answer.finish_reason,
            )
            for index, answer in enumerate(answers)
        ],
        usage=completion_usage(total_usage([answer.usage for answer in answers], len(answers))),
    )


def _message(answer: Answer) -> ChatCompletionMessage:
    return ChatCompletionMessage(
        content=None if answer.tool_calls and not answer.text else answer.text,
        reasoning_content=answer.reasoning or None,
        tool_calls=[_tool_call(call) for call in answer.tool_calls] or None,
    )


def _tool_call(call: ToolCall) -> ChatCompletionMessageToolCall:
    return ChatCompletionMessageToolCall(
        id=call.id,
        type="function",
        function=ChatCompletionMessageToolCallFunction(name=call.name, arguments=call.arguments),
    )


def choice_logprobs(tokens: Iterable[TokenLogprob]) -> ChoiceLogprobs:
    return ChoiceLogprobs(
        content=[
            ChatCompletionTokenLogprob(
                token=token.token,
                bytes=[*token.raw],
                logprob=finite_logprob(token.logprob),
                top_logprobs=[
                    TopLogprob(token=text, bytes=[*raw], logprob=finite_logprob(logprob))
                    for text, raw, logprob in token.top
                ],
            )
            for token in tokens
        ]
    )


def finite_logprob(logprob: float) -> float:
    """JSON has no infinity: what cannot be chosen is -9999, as with OpenAI."""
    return logprob if logprob > _LEAST_LOGPROB else _LEAST_LOGPROB


class ChatChunkEncoder:
    """Writes the events of a request's answers as `data:` lines.

    One chunk a decode step is the hottest path of the server: what is constant in a text chunk is encoded once.
    `include_usage` is `stream_options.include_usage`: see `StreamOptions`. As with OpenAI, every chunk before the
    last then carries `"usage": null`. With `n` answers, each begins with a chunk of its role and ends with its own
    finish chunk, and usage comes with the last of these.
    """

    def __init__(self, header: ChatHeader, *, include_usage: bool | None, n: int = 1) -> None:
        self._header = header
        self._include_usage = include_usage
        self._n = n
        self._frames = [self._text_frame(index) for index in range(n)]
        self._usages: list[Usage] = []

    def _text_frame(self, index: int) -> tuple[bytes, bytes]:
        """What stands before and after the text in a chunk of text."""
        template = self._chunk(ChatCompletionChunkDelta(content=_SLOT), index)
        # With its key, which no JSON string can hold unescaped: a model may be called anything.
        before, key, after = template.partition(b'"content":' + _encode_text(_SLOT))
        return before + key.removesuffix(_encode_text(_SLOT)), after

    def encode(self, events: Sequence[GenerationEvent]) -> bytes:
        """The chunks of these events; neighbouring pieces of text become one chunk."""
        if len(events) == 1 and type(only := events[0]) is TextDelta and only.text and only.logprobs is None:
            before, after = self._frames[only.index]
            return before + _encode_text(only.text) + after
        written: list[bytes] = []
        text: list[str] = []
        index = 0
        for event in events:
            if type(event) is TextDelta and event.logprobs is None:
                if event.index != index:
                    written.extend(self._text(text, index))
                    text, index = [], event.index
                text.append(event.text)
                continue
            written.extend(self._text(text, index))
            text = []
            written.append(self._other(event))
        written.extend(self._text(text, index))
        return b"".join(written)

    def _text(self, pieces: list[str], index: int) -> Sequence[bytes]:
        text = pieces[0] if len(pieces) == 1 else "".join(pieces)
        if not text:
            return ()
        before, after = self._frames[index]
        return before, _encode_text(text), after

    def _other(self, event: GenerationEvent) -> bytes:
        match event:
            case Accepted():
                role = ChatCompletionChunkDelta(role="assistant")
                return b"".join(self._chunk(role, index) for index in range(self._n))
            case TextDelta(text=text, index=index, logprobs=logprobs):
                if not text and not logprobs:
                    return b""
                return self._chunk(ChatCompletionChunkDelta(content=text), index, logprobs)
            case ReasoningDelta(text=text, index=index):
                return self._chunk(ChatCompletionChunkDelta(reasoning_content=text), index) if text else b""
            case ToolCallDelta():
                return self._chunk(ChatCompletionChunkDelta(tool_calls=[_call_chunk(event)]), event.index)
            case Finished():
                return self._finish(event)

    def _finish(self, event: Finished) -> bytes:
        self._usages.append(event.usage)
        choice = ChatCompletionChunkChoice(
            index=event.index, delta=ChatCompletionChunkDelta(), finish_reason=event.finish_reason
        )
        if len(self._usages) < self._n:
            return self._event([choice])
        usage = completion_usage(total_usage(self._usages, self._n))
        if self._include_usage is None:
            return self._event([choice], usage)
        finish = self._event([choice])
        return finish + self._event([], usage) if self._include_usage else finish

    def _chunk(
        self, delta: ChatCompletionChunkDelta, index: int, logprobs: Sequence[TokenLogprob] | None = None
    ) -> bytes:
        told = None if logprobs is None else choice_logprobs(logprobs)
        return self._event([ChatCompletionChunkChoice(index=index, delta=delta, logprobs=told)])

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


def _call_chunk(event: ToolCallDelta) -> ChatCompletionMessageToolCallChunk:
    return ChatCompletionMessageToolCallChunk(
        index=event.call,
        id=event.id,
        type=None if event.id is None else "function",
        function=ChatCompletionMessageToolCallChunkFunction(name=event.name, arguments=event.arguments),
    )
