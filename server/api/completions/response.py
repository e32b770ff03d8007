"""Answers of a completion, from the domain to the wire: whole, or as chunks."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs
import msgspec

from contracts.completions import Completion, CompletionChoice, CompletionLogprobs
from contracts.usage import CompletionUsage
from providers.chat.types import (
    Accepted,
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
from server.api.generation.parameters import note_given_up
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

    def echoed(self, tokens: Iterable[TokenLogprob], text: str) -> CompletionLogprobs:
        """Those of the prompt's tokens.

        `text` is the prompt's. It may lack what a tokenizer adds at the beginning: a token of its own, or a blank.
        """
        given = list(tokens)
        for place, token in enumerate(given):
            if text.startswith(token.token):
                break
            if token.token[:1] == " " and text.startswith(token.token[1:]):
                given[place] = msgspec.structs.replace(token, raw=token.raw[1:])
                break
            given[place] = msgspec.structs.replace(token, raw=b"")
        found = self.logprobs(given)
        top = None if found.top_logprobs is None else [None, *found.top_logprobs[1:]]
        return attrs.evolve(found, token_logprobs=[None, *found.token_logprobs[1:]], top_logprobs=top)

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


def completion(
    header: AnswerHeader, answers: Sequence[Answer], *, echoes: Sequence[str], n: int, logprobs: int | None
) -> Completion:
    """The best `n` answers to each prompt. They come ordered by prompt and equally many for each.

    `echoes`: the text before the answers, by prompt. `logprobs`: how many of the likeliest tokens to report; None: no
    log-probabilities.
    """
    made = len(answers) // len(echoes)
    choices: list[CompletionChoice] = []
    for number, echo in enumerate(echoes):
        several = answers[number * made : (number + 1) * made]
        prompt = several[0].prompt_logprobs
        for answer in several if n == made else _best(several, n):
            choices.append(
                CompletionChoice(
                    index=len(choices),
                    text=echo + answer.reasoning + answer.text,
                    logprobs=None if logprobs is None else _logprobs(answer, prompt, echo, top=logprobs > 0),
                    finish_reason=_reason(answer.finish_reason),
                )
            )
    usage = completion_usage(total_usage([answer.usage for answer in answers], made))
    return _completion(header, choices, usage)


def _best(answers: Sequence[Answer], n: int) -> list[Answer]:
    """The answers whose tokens have the highest mean log-probability, the best first."""

    def mean(answer: Answer) -> float:
        found = [token.logprob for token in answer.logprobs or ()]
        return sum(found) / len(found) if found else 0.0

    return sorted(answers, key=mean, reverse=True)[:n]


def _logprobs(
    answer: Answer, prompt: Sequence[TokenLogprob] | None, echo: str, *, top: bool
) -> CompletionLogprobs | None:
    """Those of the echoed prompt, if there are any, and then of the answer."""
    offsets = TokenOffsets(top=top)
    parts = [] if prompt is None else [offsets.echoed(prompt, echo)]
    if answer.logprobs is not None:
        parts.append(offsets.logprobs(answer.logprobs))
    if not parts:
        return None
    return CompletionLogprobs(
        tokens=[token for part in parts for token in part.tokens],
        token_logprobs=[value for part in parts for value in part.token_logprobs],
        top_logprobs=[found for part in parts for found in part.top_logprobs or []] if top else None,
        text_offset=[offset for part in parts for offset in part.text_offset],
    )


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
        self._prompts: dict[int, list[TokenLogprob]] = {}
        """Log-probabilities of the prompts that are echoed, by prompt."""

    def encode(self, events: Sequence[GenerationEvent]) -> bytes:
        """The chunks of these events; neighbouring pieces of the text of one answer become one chunk."""
        written: list[bytes] = []
        text: list[str] = []
        index = 0
        for event in events:
            if isinstance(event, Accepted):
                note_given_up(event)
                if event.prompt_logprobs is not None:
                    self._prompts[event.index // self._n] = event.prompt_logprobs
            elif isinstance(event, (TextDelta, ReasoningDelta)):
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
        echo = self._echoes.pop(index, "")
        prompt = self._prompts.get(index // self._n)
        if not echo or prompt is None:
            return self._plain(echo, index)
        wire = self._offsets[index].echoed(prompt, echo)
        return self._written([CompletionChoice(index=index, text=echo, logprobs=wire)])

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
