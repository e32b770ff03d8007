"""Whole answers from events, for requests that do not stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import attrs

from providers.chat.types import (
    Accepted,
    Finished,
    FinishReason,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from providers.errors import InternalError
from server.api.generation.parameters import note_given_up

__all__ = ["Answer", "ToolCall", "collect_all", "total_usage"]


@attrs.frozen(kw_only=True)
class ToolCall:
    """A function that the model called; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@attrs.frozen(kw_only=True)
class Answer:
    """The reasoning, text and calls of one answer, why it ended, and its usage.

    `logprobs` is None where the request asks for none. `prompt_logprobs` are those of the prompt, of its first answer.
    `stop` is the stop string that ended it; None: none did.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    prompt_logprobs: tuple[TokenLogprob, ...] | None = None
    stop: str | None = None


async def collect_all(events: AsyncIterator[GenerationEvent], answers: int) -> list[Answer]:
    """Read events until this number of answers has ended. Returns the answers by index.

    Raises:
        InternalError: the events ended with too few `Finished`.
        ServiceError: any error of the provider.
    """
    open_answers = [_Pieces() for _ in range(answers)]
    whole: dict[int, Answer] = {}
    async for event in events:
        if isinstance(event, Finished):
            whole[event.index] = open_answers[event.index].answer(event)
            if len(whole) == answers:
                return [whole[index] for index in range(answers)]
        elif isinstance(event, Accepted):
            note_given_up(event)
            open_answers[event.index].prompt_logprobs = event.prompt_logprobs
        else:
            open_answers[event.index].add(event)
    raise InternalError.truncated("answer")


def total_usage(usages: Sequence[Usage], n: int) -> Usage:
    """The usage of all answers, in order and `n` per prompt. Answers to the same prompt share its tokens."""
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages[::n]),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages[::n]),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
    )


class _Pieces:
    """The parts of one answer so far."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        self._logprobs: list[TokenLogprob] | None = None
        self.prompt_logprobs: list[TokenLogprob] | None = None

    def add(self, event: TextDelta | ReasoningDelta | ToolCallDelta) -> None:
        if isinstance(event, TextDelta):
            self._text.append(event.text)
            if event.logprobs is not None:
                self._logprobs = self._logprobs or []
                self._logprobs.extend(event.logprobs)
        elif isinstance(event, ReasoningDelta):
            self._reasoning.append(event.text)
        else:
            _, _, arguments = self._calls.setdefault(event.call, (event.id or "", event.name or "", []))
            arguments.append(event.arguments)

    def answer(self, end: Finished) -> Answer:
        return Answer(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(
                ToolCall(id=id, name=name, arguments="".join(arguments))
                for _, (id, name, arguments) in sorted(self._calls.items())
            ),
            logprobs=None if self._logprobs is None else tuple(self._logprobs),
            prompt_logprobs=None if self.prompt_logprobs is None else tuple(self.prompt_logprobs),
            finish_reason=end.finish_reason,
            usage=end.usage,
            stop=end.stop,
        )
