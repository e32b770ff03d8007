"""A generation request as the MLX thread gets it, and the checks it passed on the way."""

from __future__ import annotations

from contextvars import Context, copy_context

import attrs

from providers.chat.types import SamplingParams, Tool
from providers.engines.output.parser import AnswerFormat, AnswerSplitter
from providers.engines.output.stop import stop_matcher
from providers.engines.sampling.logprobs import MAX_TOP_LOGPROBS
from providers.engines.sampling.settings import Settings
from providers.engines.sampling.thinking_budget import ThoughtLimit
from providers.engines.structured.compiler import CompiledGrammar
from providers.errors import InvalidRequest

__all__ = ["LanguageJob", "checked_n", "checked_stop", "checked_top_logprobs"]

MAX_ANSWERS = 128
"""OpenAI's bound."""
MAX_STOP_STRINGS = 1024
MAX_STOP_CHARACTERS = 65536


@attrs.frozen(kw_only=True)
class LanguageJob:
    """A checked and tokenised request. `deadline` is on `time.monotonic`'s clock."""

    id: str
    tokens: list[int]
    boundaries: list[int]
    """Positions inside `tokens` at which the cache may be kept, ascending."""
    system_end: int
    """That of them which ends the system messages; 0 where none does."""
    n: int
    """Answers to generate."""
    max_tokens: int
    """Of each answer."""
    settings: Settings
    sampling: SamplingParams
    stop: tuple[str, ...]
    deadline: float | None
    format: AnswerFormat
    """How answers are marked up; plain for raw text, whose markers are nobody's business."""
    tools: list[Tool]
    """What answers may call."""
    parallel: bool
    opened: bool
    """The prompt ends inside a thought."""
    grammar: CompiledGrammar | None
    """What every answer is held to; None: any text."""
    thoughts: ThoughtLimit | None
    """None: unlimited, or there are none."""
    top_logprobs: int | None
    """As in `GenerationRequest`."""
    whose: Context = attrs.field(factory=copy_context, eq=False, repr=False)
    """For log lines: whose work it is."""

    def splitter(self, index: int) -> AnswerSplitter:
        return AnswerSplitter(
            self.format,
            tools=self.tools,
            opened=self.opened,
            parallel=self.parallel,
            stop=stop_matcher(self.stop) if self.stop else None,
            index=index,
        )


def checked_n(n: int) -> int:
    """The number of answers, if so many may be asked for.

    Raises:
        InvalidRequest: they may not.
    """
    if not 1 <= n <= MAX_ANSWERS:
        raise InvalidRequest(f"n must be between 1 and {MAX_ANSWERS}, not {n}", param="n")
    return n


def checked_top_logprobs(count: int | None) -> int | None:
    """The count, if so many can be told.

    Raises:
        InvalidRequest: they cannot.
    """
    if count is not None and not 0 <= count <= MAX_TOP_LOGPROBS:
        message = f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}, not {count}"
        raise InvalidRequest(message, param="top_logprobs")
    return count


def checked_stop(stop: list[str]) -> tuple[str, ...]:
    """The stop strings, hashable.

    Raises:
        InvalidRequest: one is empty, or they are more than an automaton should be built of.
    """
    if len(stop) > MAX_STOP_STRINGS or sum(map(len, stop)) > MAX_STOP_CHARACTERS:
        raise InvalidRequest(f"stop has more than {MAX_STOP_STRINGS} strings, or they are too long", param="stop")
    if not all(stop):
        raise InvalidRequest("stop must not contain an empty string", param="stop")
    return tuple(stop)
