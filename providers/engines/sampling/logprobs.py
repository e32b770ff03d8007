"""Log-probabilities of generated tokens, for the requests that ask for them."""

from __future__ import annotations

from collections import deque
from typing import Any

import mlx.core as mx

from providers.chat.types import TokenLogprob
from providers.engines.output.detokenizer import Vocabulary
from providers.engines.sampling.settings import Sampler

__all__ = ["LogprobRecorder"]

FLOOR = -9999.0
"""The log-probability of tokens that the model rules out, since JSON has no infinity. OpenAI's value."""


class LogprobRecorder:
    """A sampler of one sequence that also records the log-probability of each choice.

    The distribution is the model's own: before penalties, biases, grammars and filters, and at temperature 1, as
    OpenAI's is. The step that draws the token computes it, so that reading it later waits for nothing. Only the chosen
    tokens and the likeliest are copied to the host.
    """

    __slots__ = ("_logits", "_sampler", "_steps", "_top", "_vocabulary")

    def __init__(self, sampler: Sampler, vocabulary: Vocabulary, top: int) -> None:
        """`top`: how many of the likeliest tokens to report beside the chosen one."""
        self._sampler = sampler
        self._vocabulary = vocabulary
        self._top = top
        self._logits: mx.array | None = None
        self._steps: deque[tuple[mx.array, mx.array | None]] = deque()

    def note_logits(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """The sequence's first processor, if it has others: it sees the logits before they are changed."""
        self._logits = logits
        return logits

    def __call__(self, logits: mx.array) -> mx.array:
        """Logits (1, vocabulary), normalised or not → the drawn token's id (1)."""
        drawn = self._sampler(logits)
        own = (logits if self._logits is None else self._logits)[0].astype(mx.float32)
        own = own - mx.logsumexp(own)
        noted, likeliest = own[drawn], None
        top = min(self._top, own.size)
        if top:
            likeliest = mx.argpartition(own, kth=-top)[-top:]
            noted = mx.concatenate([noted, own[likeliest]])
        mx.async_eval(drawn, noted, likeliest)  # type: ignore[no-untyped-call]
        self._steps.append((noted, likeliest))
        return drawn

    def take(self, token: int) -> TokenLogprob:
        """The log-probabilities of the sequence's next token. Call it once per token, in order."""
        noted, likeliest = self._steps.popleft()
        values: Any = noted.tolist()
        ids: Any = [] if likeliest is None else likeliest.tolist()
        chosen, *others = (max(value, FLOOR) for value in values)
        ranked = sorted(zip(others, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))
        top = [(*self._vocabulary.piece(id), value) for value, id in ranked]
        return TokenLogprob(*self._vocabulary.piece(token), chosen, top)
