"""A generation request in the form that the MLX thread takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextvars import Context, copy_context
from typing import Any

import attrs

from providers.chat.types import Accepted, SamplingParams, TokenLogprob, Tool
from providers.engines.output.parser import AnswerFormat, AnswerSplitter
from providers.engines.output.stop import stop_matcher
from providers.engines.sampling.settings import Settings
from providers.engines.sampling.thinking_budget import ThoughtLimit
from providers.engines.structured.compiler import CompiledGrammar
from providers.engines.vision.pictures import Picture

__all__ = ["LanguageJob"]

_SHARED = (
    "id",
    "tokens",
    "boundaries",
    "system_end",
    "n",
    "max_tokens",
    "prompt_logprobs",
    "prefill_only",
    "cache_salt",
)
"""Fields on which depends what a step computes."""


@attrs.frozen(kw_only=True)
class LanguageJob:
    """A checked and tokenised request. `deadline` is on `time.monotonic`'s clock."""

    id: str
    tokens: list[int]
    """Negative ones stand for parts of pictures."""
    pictures: tuple[Picture, ...] = attrs.field(default=(), repr=False)
    """Those in the prompt, each once."""
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
    bare: bool
    """An answer that is the JSON object of a call is one."""
    opened: bool
    """The prompt ends inside a thought."""
    grammar: CompiledGrammar | None
    """The constraint on every answer; None: any text."""
    given_up: tuple[str, ...]
    """Paths of the request's parameters to which the answers are not held."""
    thoughts: ThoughtLimit | None
    """None: thoughts are unlimited, or the model has none."""
    top_logprobs: int | None
    """As in `GenerationRequest`."""
    prompt_logprobs: int | None
    """As in `GenerationRequest`."""
    prefill_only: bool
    """As in `GenerationRequest`."""
    cache_salt: str
    """As in `GenerationRequest`."""
    ends: frozenset[int]
    """Tokens that end an answer, beside those that end every one."""
    context: Context = attrs.field(factory=copy_context, eq=False, repr=False)
    """Context of the request, for log lines."""

    def accepted(self, cached: int = 0, logprobs: list[TokenLogprob] | None = None) -> Accepted:
        encoded = sum(picture.encoded for picture in self.pictures) if self.pictures else None
        return Accepted(len(self.tokens), cached, logprobs, given_up=self.given_up, pictures_encoded=encoded)

    def packed(self) -> dict[str, Any]:
        """What a rank needs of the job that neither draws its tokens nor writes its text."""
        shared = {name: getattr(self, name) for name in _SHARED}
        return {**shared, "expires": self.deadline is not None}

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> LanguageJob:
        """The job of another rank: greedy, without text, and late only when rank 0 finds it late."""
        shared = {name: packed[name] for name in _SHARED}
        return cls(
            **shared,
            deadline=math.inf if packed["expires"] else None,
            settings=Settings(temperature=0.0),
            sampling=SamplingParams(),
            stop=(),
            format=AnswerFormat(),
            tools=[],
            parallel=True,
            bare=False,
            opened=False,
            grammar=None,
            given_up=(),
            thoughts=None,
            top_logprobs=None,
            ends=frozenset(),
        )

    def splitter(self, index: int) -> AnswerSplitter:
        return AnswerSplitter(
            self.format,
            tools=self.tools,
            opened=self.opened,
            parallel=self.parallel,
            bare=self.bare,
            stop=stop_matcher(self.stop) if self.stop else None,
            index=index,
        )
