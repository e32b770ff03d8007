"""A generation request in the form that the MLX thread takes, and checks of its fields."""

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
    """The boundary that ends the system messages; 0 if none does."""
    n: int
    """Count of answers to generate."""
    max_tokens: int
    """Per answer."""
    settings: Settings
    sampling: SamplingParams
    stop: tuple[str, ...]
    deadline: float | None
    format: AnswerFormat
    """The markup of the answers; plain for raw text, in which markers have no meaning."""
    tools: list[Tool]
    """The functions that answers may call."""
    parallel: bool
    opened: bool
    """The prompt ends inside a thought."""
    grammar: CompiledGrammar | None
    """The constraint on every answer; None: any text."""
    thoughts: ThoughtLimit | None
    """None: thoughts are unlimited, or the model has none."""
    top_logprobs: int | None
    """As in `GenerationRequest`."""
    whose: Context = attrs.field(factory=copy_context, eq=False, repr=False)
    """Context of the request, for log lines."""

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
    """The number of answers, if it is in range.

    Raises:
        InvalidRequest: it is not.
    """
    if not 1 <= n <= MAX_ANSWERS:
        raise InvalidRequest(f"n must be between 1 and {MAX_ANSWERS}, not {n}", param="n")
    return n


def checked_top_logprobs(count: int | None) -> int | None:
    """The number of alternatives, if it is in range.

    Raises:
        InvalidRequest: it is not.
    """
    if count is not None and not 0 <= count <= MAX_TOP_LOGPROBS:
        message = f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}, not {count}"
        raise InvalidRequest(message, param="top_logprobs")
    return count


def checked_stop(stop: list[str]) -> tuple[str, ...]:
    """The stop strings, in a hashable form.

    Raises:
        InvalidRequest: one is empty, or they are too many or too long for an automaton.
    """
    if len(stop) > MAX_STOP_STRINGS or sum(map(len, stop)) > MAX_STOP_CHARACTERS:
        raise InvalidRequest(f"stop has more than {MAX_STOP_STRINGS} strings, or they are too long", param="stop")
    if not all(stop):
        raise InvalidRequest("stop must not contain an empty string", param="stop")
    return tuple(stop)
