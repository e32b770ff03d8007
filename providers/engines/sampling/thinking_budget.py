"""A limit on the tokens of an output's reasoning."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs
import mlx.core as mx

from providers.chat.types import TextDelta
from providers.engines.output.detokenizer import Decoder
from providers.engines.output.parser import AnswerSplitter
from providers.engines.structured.processor import BatchTokens, fed_token

__all__ = ["ThoughtBudget", "ThoughtLimit"]


@attrs.frozen(kw_only=True)
class ThoughtLimit:
    """How many tokens an output's reasoning may have, and the ids of the markers around it."""

    tokens: int
    start: tuple[int, ...]
    end: tuple[int, ...]


class ThoughtBudget:
    """A logits processor that ends a sequence's reasoning after a number of tokens. It comes before the grammar.

    The host sees a token only after the next one has been drawn. This processor therefore reads the token that a step
    feeds within that step, with a splitter of its own, and forces the end marker from the next token on. The reasoning
    has exactly as many tokens as the limit allows, its first marker included, and then the end marker. Two things may
    delay the marker: an incomplete character, and a tool call inside the reasoning, which ends it anyway.
    """

    __slots__ = (
        "_closed",
        "_decoder",
        "_forced",
        "_limit",
        "_over",
        "_reopens",
        "_source",
        "_splitter",
        "_started",
        "_uid",
    )

    def __init__(self, limit: ThoughtLimit, splitter: AnswerSplitter, decoder: Decoder, *, reopens: bool) -> None:
        """`splitter` and `decoder`: its own, of the sequence's kind. `reopens`: reasoning may follow content."""
        self._limit = limit
        self._splitter = splitter
        self._decoder = decoder
        self._reopens = reopens
        self._forced: deque[int] = deque()
        self._started = False
        self._closed = False
        self._over = not limit.end
        self._source: BatchTokens | None = None
        self._uid = -1

    def follow(self, source: BatchTokens, uid: int) -> None:
        """Read tokens from the batch, in which this sequence is `uid`."""
        self._source, self._uid = source, uid

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        if self._over:
            return logits
        forced = self._take(fed_token(self._source, self._uid, tokens, logits, wanted=self._started))
        ids = mx.arange(logits.shape[-1])
        if forced is not None:
            return mx.where(ids == forced, mx.zeros_like(logits), -mx.inf)
        if self._closed and not self._over and len(self._limit.start) == 1:
            # A model whose reasoning was ended may begin the next one immediately.
            return mx.where(ids == self._limit.start[0], -mx.inf, logits)
        return logits

    def replay(self, tokens: Sequence[int]) -> None:
        """Take tokens that were generated in another batch. The first call feeds the one after them."""
        for fed in (None, *tokens):
            if not self._over:
                self._take(fed)

    def _take(self, fed: int | None) -> int | None:
        """Take the token that a step feeds; None before the first. Returns the token that must follow, if one must."""
        self._started = True
        if fed is not None:
            deltas = self._splitter.push(self._decoder.add(fed))
            self._over = not self._reopens and any(isinstance(delta, TextDelta) for delta in deltas)
        if not self._forced and self._is_spent():
            self._forced.extend(self._limit.end)
            self._closed = True
        return self._forced.popleft() if self._forced else None

    def _is_spent(self) -> bool:
        splitter = self._splitter
        thinks = splitter.reasoning and not splitter.in_call and splitter.reasoning_tokens >= self._limit.tokens
        return thinks and self._decoder.is_whole
