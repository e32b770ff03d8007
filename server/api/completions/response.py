"""Answers of a completion, from the domain to the wire: whole, or as chunks."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import Literal

from contracts.completions import Completion, CompletionChoice, CompletionLogprobs
from contracts.usage import CompletionUsage
from providers.chat.types import (
    Finished,
    FinishReason,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
)
from server.api.generation.chunks import SLOT, ChunkWriter, encode_text, text_frame
from server.api.generation.collect import Answer, total_usage
from server.api.generation.header import AnswerHeader
from server.api.generation.logprobs import finite_logprob
from server.api.generation.usage import completion_usage

__all__ = ["CompletionChunkEncoder", "TokenOffsets", "completion"]


class TokenOffsets:
    """Log-probabilities of one text, token by token. A token inside a character has the offset of that character."""

    def __init__(self, *, top: bool) -> None:
        self._top = top
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._offset = 0

    def logprobs(self, tokens: Iterable[TokenLogprob]) -> CompletionLogprobs:
        given = list(tokens)
        return CompletionLogprobs(
            tokens=[token.token for token in given],
            token_logprobs=[finite_logprob(token.logprob) for token in given],
            top_logprobs=[_top(token) for token in given] if self._top else None,
            text_offset=[self._begin(token.raw) for token in given],
        )

    def _begin(self, raw: bytes) -> int:
        begin = self._offset
        self._offset += len(self._decoder.decode(raw))
        return begin


def _top(token: TokenLogprob) -> dict[str, float]:
    """The likeliest tokens by text, the chosen one included. Of tokens with the same text, the likeliest."""
    top: dict[str, float] = {}
    for text, _, logprob in (*token.top, (token.token, token.raw, token.logprob)):
        top[text] = max(finite_logprob(logprob), top.get(text, finite_logprob(logprob)))
    return top


def completion(header: AnswerHeader, answers: Sequence[Answer], *, echoes: Sequence[str], top: bool) -> Completion:
    """The answers, ordered by prompt and equally many for each. `echoes`: the text before the answers, by prompt."""
    n = len(answers) // len(echoes)
    choices = [
        CompletionChoice(
            index=index,
            text=echoes[index // n] + answer.reasoning + answer.text,
            logprobs=None if answer.logprobs is None else TokenOffsets(top=top).logprobs(answer.logprobs),
            finish_reason=_reason(answer.finish_reason),
        )
        for index, answer in enumerate(answers)
    ]
    usage = completion_usage(total_usage([answer.usage for answer in answers], n))
    return _completion(header, choices, usage)


def _reason(reason: FinishReason) -> Literal["stop", "length"]:
    return "length" if reason == "length" else "stop"


def _completion(
    header: AnswerHeader, choices: list[CompletionChoice], usage: CompletionUsage | None = None
) -> Completion:
    return Completion(
        id=header.id,
        created=header.created,
        model=header.model,
        system_fingerprint=header.system_fingerprint,
        request_id=header.request_id,
        choices=choices,
        usage=usage,
    )


class CompletionChunkEncoder(ChunkWriter[CompletionChoice]):
    """Writes the events of a request's answers, `n` per prompt.

    `echoes`: the text before the answers, by prompt. `top`: whether to report the likeliest tokens.
    """

    def __init__(
        self, header: AnswerHeader, *, include_usage: bool | None, echoes: Sequence[str], n: int, top: bool
    ) -> None:
        super().__init__(include_usage=include_usage, answers=n * len(echoes), n=n)
        self._header = header
        self._echoes = {index: echoes[index // n] for index in range(self._answers) if echoes[index // n]}
        self._offsets = [TokenOffsets(top=top) for _ in range(self._answers)]
        self._frames: dict[int, tuple[bytes, bytes]] = {}

    def encode(self, events: Sequence[GenerationEvent]) -> bytes:
        """The chunks of these events; neighbouring pieces of the text of one answer become one chunk."""
        written: list[bytes] = []
        text: list[str] = []
        index = 0
        for event in events:
            if isinstance(event, (TextDelta, ReasoningDelta)):
                logprobs = event.logprobs if isinstance(event, TextDelta) else None
                if text and (event.index != index or logprobs is not None):
                    written.append(self._text("".join(text), index))
                    text = []
                index = event.index
                if logprobs is None:
                    text.append(event.text)
                elif event.text or logprobs:
                    written.append(self._echo(index) + self._logprobs(event.text, index, logprobs))
            elif isinstance(event, Finished):
                written.append(self._text("".join(text), index) + self._echo(event.index) + self._finish(event))
                text = []
        written.append(self._text("".join(text), index))
        return b"".join(written)

    def _echo(self, index: int) -> bytes:
        return self._plain(self._echoes.pop(index, ""), index)

    def _text(self, text: str, index: int) -> bytes:
        return self._echo(index) + self._plain(text, index) if text else b""

    def _plain(self, text: str, index: int) -> bytes:
        if not text:
            return b""
        if index not in self._frames:
            self._frames[index] = text_frame(self._written([CompletionChoice(index=index, text=SLOT)]), "text")
        before, after = self._frames[index]
        return before + encode_text(text) + after

    def _logprobs(self, text: str, index: int, logprobs: Sequence[TokenLogprob]) -> bytes:
        wire = self._offsets[index].logprobs(logprobs)
        return self._written([CompletionChoice(index=index, text=text, logprobs=wire)])

    def _finish(self, event: Finished) -> bytes:
        choice = CompletionChoice(index=event.index, text="", finish_reason=_reason(event.finish_reason))
        return self._finished(choice, event.index, event.usage)

    def _chunk(self, choices: list[CompletionChoice], usage: CompletionUsage | None) -> Completion:
        return _completion(self._header, choices, usage)
