"""mlx-lm's decoding batch with a step of its own: sequences with different settings are sampled together."""

from __future__ import annotations

import functools
from collections.abc import Callable

import mlx.core as mx

from providers.engines.process.mlx_lm_internals.decoding import PlannedBatch, StepPlan
from providers.engines.sampling.host_plan import HostPlan, reads_values
from providers.engines.sampling.joint import JointSampler
from providers.engines.sampling.penalties import JointPenalties
from providers.engines.sampling.rows import Rows
from providers.engines.sampling.samplers import on_host

__all__ = ["DecodingBatch"]


class DecodingBatch(PlannedBatch):
    """A decoding batch that applies samplers and processors of all sequences in a few calls.

    mlx-lm's step calls them one by one where they differ: on a GPU, 32 sequences with settings of their own took nearly
    twice as long as 32 greedy ones. It also normalises the logits of every sequence, which nothing here needs: samplers
    take logits, and `LogprobRecorder` computes its own log-probabilities.
    """

    def make_plan(self) -> StepPlan:
        rows = Rows.of(self)
        if on_host() and rows.gain_by_numpy:
            return HostPlan(self, rows, waits=not self.reads_values)
        return _StepPlan(self, rows)

    @functools.cached_property
    def reads_values(self) -> bool:
        return reads_values(self.model)


class _StepPlan:
    """One step for the sequences that are in the batch now. It holds as long as they stay the same."""

    def __init__(self, batch: PlannedBatch, rows: Rows) -> None:
        self._batch = batch
        self._rows = rows
        self._penalties = JointPenalties(rows.together, batch.tokens)
        samplers = rows.samplers
        shared = all(sampler is samplers[0] for sampler in samplers)
        self._joint_sampler = None if shared else JointSampler(samplers)
        self._alone: Callable[[mx.array], mx.array] = samplers[0]

    @property
    def state(self) -> list[mx.array]:
        """Arrays to evaluate on every step; otherwise MLX's lazy graph keeps growing."""
        noted = [] if self._joint_sampler is None else self._joint_sampler.state
        return [*self._rows.contexts, *self._penalties.state, *noted]

    def __call__(self, fed: mx.array, logits: mx.array) -> mx.array:
        unchanged = logits
        logits = self._penalties(fed, logits)
        separate = self._rows.process_separately(fed, logits)
        if separate and len(separate) == len(self._rows.samplers):
            logits = mx.concatenate([*separate.values()], axis=0)
        elif separate:
            # An assignment to rows would change `unchanged`, too, if it is the same array.
            logits = mx.stop_gradient(logits)
            logits[mx.array([*separate])] = mx.concatenate([*separate.values()], axis=0)
        if self._joint_sampler is None:
            return self._alone(logits)
        return self._joint_sampler(logits, unchanged)

    def settle(self) -> None:
        """There is nothing to do: each call's tokens are computed."""

    def release(self) -> None:
        """Leave every sequence as if its own sampler and processors had taken it here."""
        self._penalties.release()
        self._rows.renew_contexts()
