"""The samplers of several rows, in a few operations."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from providers.engines.sampling.kernels import drawing_of
from providers.engines.sampling.logprobs import JointLogprobs, LogprobRecorder
from providers.engines.sampling.samplers import GREEDY, Sampler, SettledSampler

__all__ = ["JointSampler", "settled"]


def settled(sampler: Sampler) -> SettledSampler | None:
    """The sampler, or the one whose choices it records; None for one of another module."""
    inner = sampler.sampler if isinstance(sampler, LogprobRecorder) else sampler
    return inner if isinstance(inner, SettledSampler) else None


class JointSampler:
    """The samplers of several rows in a few calls: each row draws the token that its own sampler would."""

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        known = [settled(sampler) for sampler in samplers]
        self._separate = [(row, samplers[row]) for row, one in enumerate(known) if one is None]
        """Samplers of other modules."""
        self._samplers = [one or GREEDY for one in known]
        self._greedy = all(one.settings.greedy for one in self._samplers)
        self._drawing = drawing_of([one.settings for one in self._samplers])
        recorders = [
            (row, sampler)
            for row, sampler in enumerate(samplers)
            if known[row] is not None and isinstance(sampler, LogprobRecorder)
        ]
        self._logprobs = JointLogprobs(recorders, len(samplers)) if recorders else None

    @property
    def state(self) -> list[mx.array]:
        """Arrays to evaluate on every step, so that reading them later waits for nothing."""
        return [] if self._logprobs is None else self._logprobs.state

    def __call__(self, logits: mx.array, unchanged: mx.array | None = None) -> mx.array:
        """Logits (rows, vocabulary) → token ids (rows). `unchanged`: the model's own logits, if others."""
        if self._greedy:
            tokens = mx.argmax(logits, axis=-1)
        else:
            chances = [sampler.chances(1)[0] for sampler in self._samplers]
            tokens = self._drawing.draw(logits, chances)
        for row, sampler in self._separate:
            tokens[row : row + 1] = sampler(logits[row : row + 1])
        if self._logprobs is not None:
            self._logprobs.note(tokens, logits if unchanged is None else unchanged)
        return tokens
