"""mlx-lm's decoding batch with a step of its own: sequences with different settings are sampled together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from providers.engines.process.mlx_lm_internals import PlannedBatch, StepPlan
from providers.engines.sampling.penalties import JointPenalties
from providers.engines.sampling.settings import JointSampler

__all__ = ["DecodingBatch"]


class DecodingBatch(PlannedBatch):
    """A decoding batch that applies samplers and processors of all sequences in a few calls.

    mlx-lm's step calls them one by one where they differ: on a GPU, 32 sequences with settings of their own took nearly
    twice as long as 32 greedy ones. It also normalises the logits of every sequence, which nothing here needs: samplers
    take logits, and `LogprobRecorder` computes its own log-probabilities.
    """

    def make_plan(self) -> StepPlan:
        return _StepPlan(self)


class _StepPlan:
    """One step for the sequences that are in the batch now. It holds as long as they stay the same."""

    def __init__(self, batch: DecodingBatch) -> None:
        self._batch = batch
        self._contexts = batch.contexts
        chains: list[Sequence[Any]] = [chain or () for chain in batch.logits_processors]
        joins = [len(chains) > 1 and JointPenalties.joins(chain) for chain in chains]
        self._separate = [row for row, chain in enumerate(chains) if chain and not joins[row]]
        self._together = [row for row, chain in enumerate(chains) if chain and joins[row]]
        together = [chain if joins[row] else () for row, chain in enumerate(chains)]
        self._penalties = JointPenalties(together, batch.tokens)
        samplers = [sampler or batch.fallback_sampler for sampler in batch.samplers]
        shared = all(sampler is samplers[0] for sampler in samplers)
        self._joint_sampler = None if shared else JointSampler(samplers)
        self._sample: Callable[[mx.array], mx.array] = self._joint_sampler or samplers[0]

    @property
    def state(self) -> list[mx.array]:
        """Arrays to evaluate on every step; otherwise MLX's lazy graph keeps growing."""
        contexts = [self._contexts[row].state for row in self._separate]
        keys = [] if self._joint_sampler is None else self._joint_sampler.state
        return [*contexts, *self._penalties.state, *keys]

    def __call__(self, fed: mx.array, logits: mx.array) -> mx.array:
        logits = self._penalties(fed, logits)
        if self._separate:
            logits = self._process_separately(fed, logits)
        return self._sample(logits)

    def _process_separately(self, fed: mx.array, logits: mx.array) -> mx.array:
        batch = self._batch
        processed = []
        for row in self._separate:
            context = self._contexts[row].update_and_fetch(fed[row : row + 1])
            line = logits[row : row + 1]
            for processor in batch.logits_processors[row]:
                line = processor(context, line)
            processed.append(line)
        changed = mx.concatenate(processed, axis=0)
        if len(processed) == len(batch.uids):
            return changed
        logits[mx.array(self._separate)] = changed
        return logits

    def release(self) -> None:
        """Leave every sequence as if its own sampler and processors had taken it here."""
        self._penalties.release()
        if self._joint_sampler is not None:
            self._joint_sampler.release()
        self._batch.renew_contexts(self._together)
