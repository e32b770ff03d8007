"""mlx-audio's decoding of one window, with correct timestamp rules and the probability of each token."""

from __future__ import annotations

import itertools
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_audio.stt.models.whisper.decoding import (
    ApplyTimestampRules,
    DecodingOptions,
    DecodingResult,
    DecodingTask,
    LogitFilter,
)

__all__ = ["decode"]


def decode(
    model: Any, features: mx.array, options: DecodingOptions, *, logprobs: bool
) -> tuple[DecodingResult, list[float] | None]:
    """Decode an encoded window. With `logprobs`, also return the natural log-probability of each token."""
    task = DecodingTask(model, options)
    task.logit_filters = [
        _TimestampRules(each) if isinstance(each, ApplyTimestampRules) else each for each in task.logit_filters
    ]
    running = RunningLogprobs(task.decoder)
    if logprobs:
        task.decoder = running
    result: DecodingResult = task.run(features[None])[0]
    return result, running.each(len(result.tokens)) if logprobs else None


class _TimestampRules(LogitFilter):  # type: ignore[misc]
    """`ApplyTimestampRules` as OpenAI wrote it.

    Its last rule forbids text where a timestamp is likelier than all of it. OpenAI's rule considers the tokens that the
    other rules allow. That of mlx-audio 0.6.2 considers all tokens: right after a timestamp, when only text may follow,
    an unsure model has no token left. Every logit is minus infinity then, and the window becomes `!!!!!`.
    """

    def __init__(self, rules: Any) -> None:
        self._rules = rules

    def apply(self, logits: mx.array, tokens: mx.array) -> mx.array:
        begin = self._rules.tokenizer.timestamp_begin
        # With logits that make text certain, the last rule does not apply, and the result is the mask of the others.
        certain = mx.where(mx.arange(logits.shape[-1]) < begin, 0.0, -1e9)
        certain = mx.broadcast_to(certain, logits.shape)
        mask = self._rules.apply(certain, tokens) - certain
        left: mx.array = self._rules.apply(logits + mask, tokens)
        return left


class RunningLogprobs:
    """A `TokenDecoder` around another one that records the sum of log-probabilities after each token."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._sums: list[mx.array] = []

    def reset(self) -> None:
        self._sums.clear()
        self._decoder.reset()

    def update(self, tokens: mx.array, logits: mx.array, sums: mx.array) -> tuple[mx.array, bool, mx.array]:
        tokens, completed, sums = self._decoder.update(tokens, logits, sums)
        # The decoder adds in place: keep a copy.
        self._sums.append(sums[0] + 0.0)
        return tokens, completed, sums

    def finalize(self, tokens: mx.array, sums: mx.array) -> Any:
        return self._decoder.finalize(tokens, sums)

    def each(self, count: int) -> list[float]:
        """The natural log-probability of each of the first `count` tokens."""
        sums = [0.0, *np.array(self._sums[:count]).tolist()]
        # Differences of float32 sums: the log-probability of a nearly certain token may come out above 0.
        return [min(0.0, after - before) for before, after in itertools.pairwise(sums)]
