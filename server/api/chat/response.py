"""Answers of a chat, from the domain to the wire: whole, or as chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import attrs

from contracts.chat.audio import ChatCompletionAudio
from contracts.chat.response import (
    ChatCompletion,
    ChatCompletionChoice,
    ChatCompletionChunk,
    ChatCompletionChunkChoice,
    ChatCompletionChunkDelta,
    ChatCompletionMessage,
    ChatCompletionTokenLogprob,
    ChoiceFinishReason,
    ChoiceLogprobs,
    TopLogprob,
)
from contracts.chat.tools import (
    ChatCompletionMessageToolCall,
    ChatCompletionMessageToolCallChunk,
    ChatCompletionMessageToolCallChunkFunction,
    ChatCompletionMessageToolCallFunction,
)
from contracts.retrieval.context import FileCitationAnnotation
from contracts.usage import CompletionUsage
from providers.chat.types import (
    Accepted,
    Finished,
    FinishReason,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from server.api.chat.context import file_citations, used_context
from server.api.generation.chunks import SLOT, ChunkWriter, encode_text, text_frame
from server.api.generation.collect import Answer, ToolCall, total_usage
from server.api.generation.header import AnswerHeader
from server.api.generation.logprobs import finite_logprob
from server.api.generation.parameters import note_given_up
from server.api.generation.usage import completion_usage
from server.api.grounding.answer import GroundedAnswer
from server.api.grounding.citations import Cited, Marks, cited
from server.api.grounding.grounding import Grounding
from server.retrieval.passages import Passage

__all__ = ["ChatChunkEncoder", "CitingChunkEncoder", "chat_completion", "choice_logprobs"]


def chat_completion(
    header: AnswerHeader,
    answers: Sequence[Answer],
    audio: Sequence[ChatCompletionAudio | None] | None = None,
    *,
    older: bool = False,
    grounding: Grounding | None = None,
) -> ChatCompletion:
    """The answers to one prompt, in order, with the speech of each that was spoken.

    `older`: calls have the form that answers `functions`. `grounding`: the passages that the prompt holds.
    """
    passages = grounding.passages if grounding else ()
    return ChatCompletion(
        id=header.id,
        created=header.created,
        model=header.model,
        system_fingerprint=header.system_fingerprint,
        request_id=header.request_id,
        choices=[
            ChatCompletionChoice(
                index=index,
                message=attrs.evolve(
                    _message(answer, None if audio is None else audio[index], older=older),
                    annotations=file_citations(cited(answer.text, passages)),
                ),
                logprobs=None if answer.logprobs is None else choice_logprobs(answer.logprobs),
                finish_reason=_reason(answer.finish_reason, older=older),
            )
            for index, answer in enumerate(answers)
        ],
        usage=completion_usage(
            total_usage([answer.usage for answer in answers], len(answers)), grounding.tokens if grounding else None
        ),
        context=used_context(grounding),
    )


def _message(answer: Answer, audio: ChatCompletionAudio | None, *, older: bool) -> ChatCompletionMessage:
    calls = [_tool_call(call) for call in answer.tool_calls]
    return ChatCompletionMessage(
        content=None if audio is not None or (calls and not answer.text) else answer.text,
        reasoning_content=answer.reasoning or None,
        tool_calls=None if older else calls or None,
        function_call=calls[0].function if older and calls else None,
        audio=audio,
    )


def _tool_call(call: ToolCall) -> ChatCompletionMessageToolCall:
    return ChatCompletionMessageToolCall(
        id=call.id,
        type="function",
        function=ChatCompletionMessageToolCallFunction(name=call.name, arguments=call.arguments),
    )


def _reason(reason: FinishReason, *, older: bool) -> ChoiceFinishReason:
    return "function_call" if older and reason == "tool_calls" else reason


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


class ChatChunkEncoder(ChunkWriter[ChatCompletionChunkChoice]):
    """Writes the events of a request's `n` answers. Each answer begins with a chunk of its role.

    One chunk per decode step is the hottest path of the server: the constant parts of a text chunk are encoded once.
    """

    _TEXT: ClassVar = "content"

    def __init__(
        self,
        header: AnswerHeader,
        *,
        include_usage: bool | None,
        n: int = 1,
        older: bool = False,
        answer: GroundedAnswer | None = None,
    ) -> None:
        """`older`: as in `chat_completion`. `answer`: the source of the events, if it may have a grounding."""
        super().__init__(include_usage=include_usage, answers=n, n=n)
        self._header = header
        self._older = older
        self._answer = answer
        self._frames = [text_frame(self._delta(self._text_delta(SLOT, index), index), self._TEXT) for index in range(n)]

    def _text_delta(self, text: str, index: int) -> ChatCompletionChunkDelta:
        """Text to append to the answer, which is the value of `_TEXT` in it."""
        return ChatCompletionChunkDelta(content=text)

    def encode(self, events: Sequence[GenerationEvent]) -> bytes:
        """The chunks of these events; neighbouring pieces of text become one chunk."""
        if len(events) == 1 and type(only := events[0]) is TextDelta and only.text and only.logprobs is None:
            before, after = self._frames[only.index]
            return before + encode_text(only.text) + after
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
        return before, encode_text(text), after

    def _other(self, event: GenerationEvent) -> bytes:
        match event:
            case Accepted():
                note_given_up(event)
                return b"".join(map(self._role, range(self._n)))
            case TextDelta(text=text, index=index, logprobs=logprobs):
                if not text and not logprobs:
                    return b""
                return self._delta(self._text_delta(text, index), index, logprobs)
            case ReasoningDelta(text=text, index=index):
                return self._delta(ChatCompletionChunkDelta(reasoning_content=text), index) if text else b""
            case ToolCallDelta():
                call = _call_chunk(event)
                older = ChatCompletionChunkDelta(function_call=call.function)
                return self._delta(older if self._older else ChatCompletionChunkDelta(tool_calls=[call]), event.index)
            case Finished():
                reason = _reason(event.finish_reason, older=self._older)
                delta = ChatCompletionChunkDelta(annotations=self._annotations(event.index))
                choice = ChatCompletionChunkChoice(index=event.index, delta=delta, finish_reason=reason)
                return self._finished(choice, event.index, event.usage)

    @property
    def _grounding(self) -> Grounding | None:
        return self._answer.grounding if self._answer else None

    @property
    def _context_tokens(self) -> int | None:
        return self._grounding.tokens if self._grounding else None

    def _role(self, index: int) -> bytes:
        """The first chunk of an answer. That of the first answer has the passages of the prompt."""
        choices = [ChatCompletionChunkChoice(index=index, delta=ChatCompletionChunkDelta(role="assistant"))]
        if index or self._grounding is None:
            return self._written(choices)
        return self._framed(attrs.evolve(self._chunk(choices, None), context=used_context(self._grounding)))

    def _annotations(self, index: int) -> list[FileCitationAnnotation] | None:
        """The citations of an answer that has ended; None: there are none."""
        return None

    def _delta(
        self, delta: ChatCompletionChunkDelta, index: int, logprobs: Sequence[TokenLogprob] | None = None
    ) -> bytes:
        wire = None if logprobs is None else choice_logprobs(logprobs)
        return self._written([ChatCompletionChunkChoice(index=index, delta=delta, logprobs=wire)])

    def _chunk(self, choices: list[ChatCompletionChunkChoice], usage: CompletionUsage | None) -> ChatCompletionChunk:
        header = self._header
        return ChatCompletionChunk(
            id=header.id,
            created=header.created,
            model=header.model,
            system_fingerprint=header.system_fingerprint,
            request_id=header.request_id,
            choices=choices,
            usage=usage,
        )


class CitingChunkEncoder(ChatChunkEncoder):
    """Writes the citations of each answer as well, in its finish chunk."""

    def __init__(self, header: AnswerHeader, answer: GroundedAnswer, **options: Any) -> None:
        super().__init__(header, answer=answer, **options)
        self._marks: dict[int, Marks[Passage]] = {}
        self._cited: defaultdict[int, list[Cited[Passage]]] = defaultdict(list)

    def encode(self, events: Sequence[GenerationEvent]) -> bytes:
        passages = self._grounding.passages if self._grounding else ()
        for event in events:
            if isinstance(event, TextDelta):
                self._cited[event.index] += self._marks.setdefault(event.index, Marks(passages)).add(event.text)
        return super().encode(events)

    def _annotations(self, index: int) -> list[FileCitationAnnotation] | None:
        return file_citations(self._cited[index])


def _call_chunk(event: ToolCallDelta) -> ChatCompletionMessageToolCallChunk:
    return ChatCompletionMessageToolCallChunk(
        index=event.call,
        id=event.id,
        type=None if event.id is None else "function",
        function=ChatCompletionMessageToolCallChunkFunction(name=event.name, arguments=event.arguments),
    )
