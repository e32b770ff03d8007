"""mlx-lm's batch of rows that generate, with a step of its own: rows of different settings are sampled together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from providers.engines.process.mlx_lm_internals import PlannedBatch, StepPlan
from providers.engines.sampling.penalties import JointPenalties
from providers.engines.sampling.settings import JointSampler

__all__ = ["RowBatch"]


class RowBatch(PlannedBatch):
    """mlx-lm's step calls samplers and processors row by row where they differ: on a GPU, 32 rows with settings of
    their own took nearly twice as long as 32 greedy ones. It also normalises the logits of every row, which nothing
    here needs: samplers take logits, and who is to tell log-probabilities computes its own (`LogprobRecorder`).
    """

    def make_plan(self) -> StepPlan:
        return _StepPlan(self)


class _StepPlan:
    """How the rows that there are now are taken a step further, as long as they stay the same."""

    def __init__(self, batch: RowBatch) -> None:
        self._batch = batch
        self._contexts = batch.contexts
        chains: list[Sequence[Any]] = [chain or () for chain in batch.logits_processors]
        joins = [len(chains) > 1 and JointPenalties.joins(chain) for chain in chains]
        self._alone = [row for row, chain in enumerate(chains) if chain and not joins[row]]
        self._together = [row for row, chain in enumerate(chains) if chain and joins[row]]
        together = [chain if joins[row] else () for row, chain in enumerate(chains)]
        self._penalties = JointPenalties(together, batch.tokens)
        samplers = [sampler or batch.fallback_sampler for sampler in batch.samplers]
        shared = all(sampler is samplers[0] for sampler in samplers)
        self._joint_sampler = None if shared else JointSampler(samplers)
        self._sample: Callable[[mx.array], mx.array] = self._joint_sampler or samplers[0]

    @property
    def state(self) -> list[mx.array]:
        """To be evaluated with every step, lest its graph grow."""
        contexts = [self._contexts[row].state for row in self._alone]
        keys = [] if self._joint_sampler is None else self._joint_sampler.state
        return [*contexts, *self._penalties.state, *keys]

    def __call__(self, fed: mx.array, logits: mx.array) -> mx.array:
        logits = self._penalties(fed, logits)
        if self._alone:
            logits = self._process_alone(fed, logits)
        return self._sample(logits)

    def _process_alone(self, fed: mx.array, logits: mx.array) -> mx.array:
        batch = self._batch
        processed = []
        for row in self._alone:
            context = self._contexts[row].update_and_fetch(fed[row : row + 1])
            line = logits[row : row + 1]
            for processor in batch.logits_processors[row]:
                line = processor(context, line)
            processed.append(line)
        changed = mx.concatenate(processed, axis=0)
        if len(processed) == len(batch.uids):
            return changed
        logits[mx.array(self._alone)] = changed
        return logits

    def release(self) -> None:
        """Leave every row as if its own sampler and processors had taken it here."""
        self._penalties.release()
        if self._joint_sampler is not None:
            self._joint_sampler.release()
        self._batch.renew_contexts(self._together)
