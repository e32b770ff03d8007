"""Which sequences of a batch are processed together, and which one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from providers.engines.process.mlx_lm_internals.decoding import PlannedBatch
from providers.engines.sampling.joint import settled
from providers.engines.sampling.logprobs import LogprobRecorder
from providers.engines.sampling.penalties import joins
from providers.engines.sampling.samplers import Sampler

__all__ = ["Rows"]


class Rows:
    """The rows of a batch. It holds as long as they stay the same."""

    def __init__(self, batch: PlannedBatch, samplers: list[Sampler], together: list[Sequence[Any]]) -> None:
        """`together`: of each row, the processors that can be applied with other rows'; empty for other rows."""
        self.samplers = samplers
        self.together = together
        self._batch = batch
        self._contexts = batch.contexts
        self._separate = [
            row for row, chain in enumerate(batch.logits_processors) if chain and not joins(_changing(chain))
        ]

    @classmethod
    def of(cls, batch: PlannedBatch) -> Rows:
        samplers = [sampler or batch.fallback_sampler for sampler in batch.samplers]
        chains = [_changing(chain or ()) for chain in batch.logits_processors]
        return cls(batch, samplers, [chain if joins(chain) else () for chain in chains])

    @property
    def gain_by_numpy(self) -> bool:
        """Whether a row needs more than the choice of the likeliest token, and its sampler is this package's."""
        for sampler, chain in zip(self.samplers, self.together, strict=True):
            one = settled(sampler)
            if one is not None and (chain or one is not sampler or not one.settings.greedy):
                return True
        return False

    @property
    def contexts(self) -> list[mx.array]:
        """The tokens that processors called one by one read."""
        return [self._contexts[row].state for row in self._separate]

    def process_separately(self, fed: mx.array, logits: mx.array) -> dict[int, mx.array]:
        """By row: the logits (1, vocabulary) of rows whose processors are called one by one."""
        processed = {}
        for row in self._separate:
            context = self._contexts[row].update_and_fetch(fed[row : row + 1])
            line = logits[row : row + 1]
            for processor in self._batch.logits_processors[row]:
                line = processor(context, line)
            processed[row] = line
        return processed

    def renew_contexts(self) -> None:
        """Bring the contexts of the other rows with processors up to date, which nothing read meanwhile."""
        chains = self._batch.logits_processors
        self._batch.renew_contexts([row for row, chain in enumerate(chains) if chain and row not in self._separate])


def _changing(chain: Sequence[Any]) -> Sequence[Any]:
    """Processors without the one that only notes the logits for a `LogprobRecorder`: it gets them from the step."""
    first = getattr(chain[0], "__self__", None) if chain else None
    return chain[1:] if isinstance(first, LogprobRecorder) and settled(first) is not None else chain
