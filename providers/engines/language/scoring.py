"""Log-probabilities of the tokens of a prompt, computed beside the batch. Only for the MLX thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from providers.chat.types import TokenLogprob
from providers.engines.sampling.logprobs import FLOOR

__all__ = ["PromptScoring"]

SCORED_LOGITS = 1 << 24
"""Logits of one chunk: 64 MB in float32. A prompt's logits as a whole would be gigabytes."""
MAX_CHUNK = 512
"""Tokens of one chunk at most: all other requests wait for it."""

Piece = Callable[[int], tuple[str, bytes]]


class PromptScoring:
    """One prompt, computed chunk by chunk. Each token but the first has its log-probability, given those before it.

    The distribution is the model's own, as in `LogprobRecorder`. The last token is not computed: afterwards `cache`
    is what a sequence needs that starts with the last token.
    """

    def __init__(
        self, model: Any, tokens: list[int], shown: list[int], piece: Piece, *, top: int, vocabulary: int
    ) -> None:
        """Make the state before the first chunk.

        Args:
            shown: the tokens to report, each in the place of one of the `tokens`, all of them in the vocabulary.
            piece: the text and the bytes of a token.
            top: how many of the likeliest tokens to report in the place of each token.
            vocabulary: count of logits per token.
        """
        self._model = model
        self._tokens = tokens
        self._shown = shown
        self._piece = piece
        self._top = top
        self._chunk = max(1, min(MAX_CHUNK, SCORED_LOGITS // vocabulary))
        self._computed = 0
        self.cache: list[Any] = make_prompt_cache(model)
        self.logprobs = [TokenLogprob(*piece(shown[0]), 0.0)]
        """Of the tokens so far. Nothing comes before the first one: its log-probability means nothing."""

    def step(self) -> bool:
        """Compute the next chunk. Returns whether it was the last."""
        start, end = self._computed, min(self._computed + self._chunk, len(self._tokens) - 1)
        if start < end:
            logits = self._model(mx.array(self._tokens[start:end])[None], cache=self.cache)[0].astype(mx.float32)
            self._note(self._shown[start + 1 : end + 1], logits)
            self._computed = end
        return end == len(self._tokens) - 1

    def _note(self, tokens: list[int], logits: mx.array) -> None:
        """Note the log-probabilities of these tokens. `logits`: a row for each, in which it has not been chosen yet."""
        total = mx.logsumexp(logits, axis=-1, keepdims=True)
        values = mx.take_along_axis(logits, mx.array(tokens)[:, None], axis=-1) - total
        likeliest = None
        top = min(self._top, logits.shape[-1])
        if top:
            likeliest = mx.argpartition(logits, kth=-top, axis=-1)[:, -top:]
            values = mx.concatenate([values, mx.take_along_axis(logits, likeliest, axis=-1) - total], axis=-1)
        mx.eval(values, *([] if likeliest is None else [likeliest]), [layer.state for layer in self.cache])
        rows = cast("list[list[float]]", values.tolist())
        ids = [[]] * len(rows) if likeliest is None else cast("list[list[int]]", likeliest.tolist())
        for token, row, others in zip(tokens, rows, ids, strict=True):
            chosen, *rest = (max(value, FLOOR) for value in row)
            ranked = sorted(zip(rest, others, strict=True), key=lambda pair: (-pair[0], pair[1]))
            top_pieces = [(*self._piece(id), value) for value, id in ranked]
            self.logprobs.append(TokenLogprob(*self._piece(token), chosen, top_pieces))
