"""The logits processor that constrains one answer to a grammar, on the MLX thread."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from llguidance import LLMatcher

from providers.engines.process.mlx_lm_internals.generator import decoding_uids, fed_tokens

__all__ = ["BatchTokens", "GrammarProcessor", "fed_token"]

logger = logging.getLogger(__name__)


class BatchTokens:
    """The tokens that the current step feeds, read once for all sequences of a BatchGenerator.

    A processor's own `tokens` argument is built after the step's forward pass was launched for the sequence before,
    and reading it waits for that pass: with several sequences, all masks but the first would be computed while the
    device is idle. The batch's array of fed tokens was computed in the step before.
    """

    def __init__(self, generator: Any) -> None:
        """`generator`: mlx-lm's BatchGenerator."""
        self._generator = generator
        self._fed: mx.array | None = None
        self._tokens: dict[int, int] = {}

    def launch(self, logits: mx.array) -> None:
        """Start computing the logits, so that later reads overlap with the device's work."""
        fed = fed_tokens(self._generator)
        if fed is not None and fed is not self._fed:
            # After a sequence has left the batch, this array is not computed yet: it goes before the forward pass.
            mx.async_eval(fed)  # type: ignore[no-untyped-call]
        mx.async_eval(logits)  # type: ignore[no-untyped-call]

    def read(self, uid: int) -> int | None:
        """The token that is fed to sequence `uid`; None if the current step is not this batch's."""
        fed = fed_tokens(self._generator)
        if fed is None:
            return None
        if fed is not self._fed:
            uids = decoding_uids(self._generator)
            values: list[int] = fed.tolist()  # type: ignore[assignment]
            self._fed, self._tokens = fed, dict(zip(uids, values, strict=True))
        return self._tokens.get(uid)


def fed_token(
    source: BatchTokens | None, uid: int, tokens: mx.array, logits: mx.array, *, wanted: bool = True
) -> int | None:
    """Launch the step and return the token that it feeds to the sequence. None if not `wanted`, which is the case
    before the first generated token. `tokens` and `logits`: the arguments with which mlx-lm calls a processor."""
    if source is not None:
        source.launch(logits)
        known = source.read(uid) if wanted else None
        if known is not None or not wanted:
            return known
    last = tokens[-1:]
    if wanted:
        mx.async_eval(last)  # type: ignore[no-untyped-call]
    mx.async_eval(logits)  # type: ignore[no-untyped-call]
    return int(last.item()) if wanted else None  # type: ignore[arg-type]


class GrammarProcessor:
    """Masks every token that the grammar does not allow next. Each answer has its own, last in its sequence's list.

    mlx-lm calls it once per step with the tokens fed so far, the last of which is being fed, and the logits of the
    token after it; the first call has only the prompt. It passes each fed token to the grammar in the step that feeds
    it, although the host learns of a token only after the next step was launched: it launches the step's forward
    pass, reads the fed token, which was computed before, and fills the mask while the device works.

    Once the grammar is complete, only end tokens are allowed. It never raises: if the matcher fails (the grammar
    became too complex) or no allowed token has logits, it forces the end and sets `failure`, which the engine must
    check before it reports `stop`.

    A constraint that starts later in the answer is better written as one grammar (`Thought`, `free_text`): then the
    place is exact to the character. Otherwise the grammar starts after the ids of `start_after`. They are found here,
    token by token, because every other reader sees a token one step too late.
    """

    __slots__ = (
        "_active",
        "_ends",
        "_ids",
        "_matcher",
        "_only_ends",
        "_recent",
        "_source",
        "_start_after",
        "_take",
        "_uid",
        "_words",
        "done",
        "failure",
    )

    def __init__(
        self, matcher: LLMatcher, *, vocabulary: int, ends: Sequence[int], start_after: Sequence[int] | None = None
    ) -> None:
        """`matcher`: not shared, and at its start. `vocabulary`: width of its mask. `start_after`: None starts the
        grammar immediately."""
        self._matcher = matcher
        self._ends = frozenset(ends)
        self._ids = vocabulary
        self._words = np.zeros((vocabulary + 31) // 32, dtype=np.uint32)
        self._only_ends: mx.array | None = None
        self._start_after = tuple(start_after or ())
        self._recent: deque[int] = deque(maxlen=len(self._start_after))
        self._active = not self._start_after
        self._take = False
        self._source: BatchTokens | None = None
        self._uid = -1
        self.done = False
        """Whether the answer is complete: an end token was taken."""
        self.failure: str | None = None
        """Why the end was forced, as a message for the client."""

    def follow(self, source: BatchTokens, uid: int) -> None:
        """Read tokens from the batch, in which this sequence is `uid`. Optional; faster with several sequences."""
        self._source, self._uid = source, uid

    def replay(self, tokens: Sequence[int]) -> None:
        """Take tokens that were generated in another batch. The first call feeds the one after them."""
        self._take = True
        for token in tokens:
            if self._active:
                self._advance(token)
            else:
                self._active = self._is_marked(token)

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        try:
            return self._constrain(tokens, logits)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in llguidance is not an Exception
            logger.exception("a grammar failed in its processor")
            self._fail(f"the grammar cannot be followed: {type(error).__name__}")
            return mx.where(self._end_mask(logits), logits, -mx.inf)

    def _constrain(self, tokens: mx.array, logits: mx.array) -> mx.array:
        take, self._take = self._take, True
        fed = fed_token(self._source, self._uid, tokens, logits, wanted=take)
        if not self._active:
            return self._watch(fed, logits, prompt=not take)
        if take and fed is not None:
            self._advance(fed)
        if not (self.done or self.failure):
            allowed = self._allowed(logits.shape[-1])
            if allowed is not None:
                return mx.where(mx.array(allowed), logits, -mx.inf)
        return mx.where(self._end_mask(logits), logits, -mx.inf)

    def _watch(self, fed: int | None, logits: mx.array, *, prompt: bool) -> mx.array:
        """Look for the marker among the generated tokens; the grammar starts directly after it."""
        if prompt or fed is None or not self._is_marked(fed):
            return logits
        self._active = True
        allowed = self._allowed(logits.shape[-1])
        return mx.where(self._end_mask(logits) if allowed is None else mx.array(allowed), logits, -mx.inf)

    def _is_marked(self, token: int) -> bool:
        """Whether this token ends the marker after which the grammar starts."""
        self._recent.append(token)
        return tuple(self._recent) == self._start_after

    def _advance(self, token: int) -> None:
        if self.done or self.failure:
            return
        if token in self._ends:
            self.done = True
        elif not self._matcher.consume_token(token):
            self._fail(_reason(self._matcher))

    def _allowed(self, width: int) -> Any:
        """Whether each id may come next, of shape (1, width); None after a failure."""
        words = self._words
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        if self._matcher.is_error():
            self._fail(_reason(self._matcher))
            return None
        bits = np.unpackbits(words.view(np.uint8), count=self._ids, bitorder="little").view(np.bool_)
        allowed = np.zeros((1, width), dtype=np.bool_) if width > self._ids else bits[None, :width]
        if width > self._ids:
            allowed[0, : self._ids] = bits
        if not allowed.any():
            self._fail("no token of the model continues the grammar")
            return None
        return allowed

    def _end_mask(self, logits: mx.array) -> mx.array:
        width = logits.shape[-1]
        if self._only_ends is None or self._only_ends.shape[-1] != width:
            mask = np.zeros((1, width), dtype=np.bool_)
            mask[0, [end for end in self._ends if end < width]] = True
            self._only_ends = mx.array(mask)
        return self._only_ends

    def _fail(self, reason: str) -> None:
        self._active = True
        self.failure = self.failure or reason


def _reason(matcher: LLMatcher) -> str:
    lines = matcher.get_error().strip().splitlines()
    return f"the grammar cannot be followed any further: {lines[0] if lines else 'unexpected token'}"
