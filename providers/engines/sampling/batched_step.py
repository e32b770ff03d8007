"""mlx-lm's batch of rows that generate, with a step of its own: rows of different settings are sampled together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.generate import GenerationBatch
from mlx_lm.models.cache import TokenBuffer

from providers.engines.sampling.penalties import JointPenalties
from providers.engines.sampling.settings import JointSampler

__all__ = ["RowBatch"]


class RowBatch(GenerationBatch):
    """mlx-lm's step calls samplers and processors row by row where they differ: on a GPU, 32 rows with settings of
    their own took nearly twice as long as 32 greedy ones. It also normalises the logits of every row, which nothing
    here needs: samplers take logits, and who is to tell log-probabilities computes its own (`LogprobRecorder`).

    It leans on names that are private to mlx-lm; `test_row_batch.py` holds it to mlx-lm's own.
    """

    samplers: list[Any]
    logits_processors: list[Any]
    _current_tokens: Any
    _next_tokens: Any
    _plan: _StepPlan | None = None

    def _step(self) -> tuple[list[int], list[Any]]:
        fed = self._current_tokens = self._next_tokens
        logits = self.model(fed[:, None], cache=self.prompt_cache)[:, -1, :]
        if self._plan is None:
            self._plan = _StepPlan(self)
        self._next_tokens = self._plan(fed, logits)
        self._next_logprobs = [None] * len(self.uids)
        mx.async_eval(self._next_tokens, *self._plan.state)  # type: ignore[no-untyped-call]
        # While that is computed:
        mx.eval(fed)
        tokens: list[int] = fed.tolist()
        for known, token in zip(self.tokens, tokens, strict=True):
            known.append(token)
        return tokens, self._next_logprobs

    def extend(self, batch: GenerationBatch) -> None:
        self._release()
        super().extend(batch)  # type: ignore[no-untyped-call]

    def filter(self, keep: list[int]) -> None:
        self._release()
        super().filter(keep)

    def _release(self) -> None:
        if self._plan is not None:
            self._plan.release()
            self._plan = None


class _StepPlan:
    """How the rows that there are now are taken a step further, as long as they stay the same."""

    def __init__(self, batch: RowBatch) -> None:
        self._batch = batch
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
        contexts = [self._batch._token_context[row].state for row in self._alone]
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
            context = batch._token_context[row].update_and_fetch(fed[row : row + 1])  # type: ignore[no-untyped-call]
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
        for row in self._together:
            self._batch._token_context[row] = TokenBuffer(self._batch.tokens[row])  # type: ignore[no-untyped-call]
