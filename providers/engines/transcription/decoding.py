"""mlx-audio's decoding of one window, with what it lacks: right timestamp rules, and each token's probability."""

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
    """Decode an encoded window; tell, where it is wanted, the natural log-probability of each token."""
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

    Its last rule forbids text where a timestamp is likelier than any of it. OpenAI asks that of what the other rules
    left; mlx-audio 0.6.2 of everything, so that right after a timestamp, when only text may follow, an unsure model
    is left with nothing at all: every logit is minus infinity, and the window is written down as `!!!!!`.
    """

    def __init__(self, rules: Any) -> None:
        self._rules = rules

    def apply(self, logits: mx.array, tokens: mx.array) -> mx.array:
        begin = self._rules.tokenizer.timestamp_begin
        # With logits that make text certain, the last rule is silent and what comes out is the others' mask.
        certain = mx.where(mx.arange(logits.shape[-1]) < begin, 0.0, -1e9)
        certain = mx.broadcast_to(certain, logits.shape)
        mask = self._rules.apply(certain, tokens) - certain
        left: mx.array = self._rules.apply(logits + mask, tokens)
        return left


class RunningLogprobs:
    """A `TokenDecoder` around another one, that remembers how probable the tokens were together after each of them."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._sums: list[mx.array] = []

    def reset(self) -> None:
        self._sums.clear()
        self._decoder.reset()

    def update(self, tokens: mx.array, logits: mx.array, sums: mx.array) -> tuple[mx.array, bool, mx.array]:
        tokens, completed, sums = self._decoder.update(tokens, logits, sums)
        # The decoder adds up in place: what is kept must be an array of its own.
        self._sums.append(sums[0] + 0.0)
        return tokens, completed, sums

    def finalize(self, tokens: mx.array, sums: mx.array) -> Any:
        return self._decoder.finalize(tokens, sums)

    def each(self, count: int) -> list[float]:
        """The natural log-probability of each of the first `count` tokens."""
        sums = [0.0, *np.array(self._sums[:count]).tolist()]
        # Differences of float32 sums: what is all but certain may come out above it.
        return [min(0.0, after - before) for before, after in itertools.pairwise(sums)]
