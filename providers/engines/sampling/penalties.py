"""Penalties and biases on logits: mlx-lm's logits processors of one row, and the same for many rows together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.sample_utils import make_repetition_penalty

__all__ = ["Bias", "CountPenalty", "JointPenalties", "Processor", "RepetitionPenalty"]

Processor = Callable[[mx.array, mx.array], mx.array]
"""All tokens fed so far (n) and logits (1, vocabulary) → logits (1, vocabulary)."""

MAX_JOINT_CONTEXT = 256
"""The longest context of a repetition penalty, in tokens, that the host collects on every step."""


class RepetitionPenalty:
    """mlx-lm's repetition penalty.

    It divides the logits of the last `size` tokens of prompt and output by the penalty, and multiplies negative ones.
    Negative ids, which stand for pictures, have no logits.
    """

    __slots__ = ("_apply", "penalty", "size")

    def __init__(self, penalty: float, size: int) -> None:
        self.penalty = penalty
        self.size = size
        self._apply: Processor = make_repetition_penalty(penalty, size)

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        tokens = tokens[-self.size :]
        return self._apply(mx.where(tokens < 0, tokens[-1:], tokens), logits)


class CountPenalty:
    """OpenAI's presence and frequency penalties, over all tokens of the output and none of the prompt.

    Called once per step with everything fed so far; the first call has only the prompt.
    """

    __slots__ = ("_replayed", "counts", "frequency", "presence")

    def __init__(self, presence: float, frequency: float) -> None:
        self.presence = presence
        self.frequency = frequency
        self.counts: mx.array | None = None
        """How often each token was generated, (1, vocabulary)."""
        self._replayed: list[int] | None = None

    def replay(self, tokens: Sequence[int]) -> None:
        """Count tokens that were generated in another batch. The first call feeds the one after them."""
        self._replayed = [*tokens]

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        if self.counts is None:
            self.counts = mx.zeros(logits.shape)
            if self._replayed is None:
                return logits
            if self._replayed:
                self.counts = self.counts.at[:, mx.array(self._replayed)].add(1.0)
        self.counts = self.counts.at[:, tokens[-1:]].add(1.0)
        penalty = self.frequency * self.counts + self.presence * (self.counts > 0)
        return logits - penalty.astype(logits.dtype)


class Bias:
    """OpenAI's `logit_bias`: numbers to add to the logits of some tokens."""

    __slots__ = ("ids", "values")

    def __init__(self, biases: Mapping[int, float]) -> None:
        self.ids = mx.array([*biases])
        self.values = mx.array([float(value) for value in biases.values()])

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        return logits.at[:, self.ids].add(self.values.astype(logits.dtype))


class JointPenalties:
    """The processors of several rows in a few calls.

    It owns their state until `release`: they are not called meanwhile.
    """

    def __init__(self, chains: Sequence[Sequence[Processor]], tokens: Sequence[list[int]]) -> None:
        """`chains`: the processors of each row; every chain `joins`. `tokens`: those fed so far, per row; they grow."""
        self._tokens = tokens
        self._repetitions = _RowsWith(chains, RepetitionPenalty)
        self._counts = _RowsWith(chains, CountPenalty)
        self._biases = _RowsWith(chains, Bias)
        self._counted: mx.array | None = None
        self._added: mx.array | None = None

    @staticmethod
    def joins(chain: Sequence[Processor]) -> bool:
        """Whether a `JointPenalties` can apply all processors of this chain, in their order."""
        order = [(RepetitionPenalty, CountPenalty, Bias).index(type(one)) for one in chain if _known(one)]
        return len(order) == len(chain) and order == sorted(set(order))

    @property
    def state(self) -> list[mx.array]:
        """Arrays to evaluate on every step; otherwise MLX's lazy graph keeps growing."""
        return [] if self._counted is None else [self._counted]

    def __call__(self, fed: mx.array, logits: mx.array) -> mx.array:
        """Logits (rows, vocabulary) → the same, changed. `fed` (rows): the token that this step feeds to each row."""
        if self._repetitions:
            logits = self._repetitions.on(logits, lambda rows: self._repeat(fed, rows))
        if self._counts:
            logits = self._counts.on(logits, lambda rows: self._count(fed, rows))
        if self._biases:
            logits = self._biases.on(logits, self._bias)
        return logits

    def _repeat(self, fed: mx.array, logits: mx.array) -> mx.array:
        rows = self._repetitions
        newest = rows.pick(fed)[:, None]
        known = np.full((len(rows.places), max(one.size for one in rows.processors) - 1), -1, dtype=np.int32)
        for line, row, one in zip(known, rows.places, rows.processors, strict=True):
            last = self._tokens[row][-(one.size - 1) :] if one.size > 1 else []
            line[: len(last)] = last
        context = mx.array(known)
        context = mx.concatenate([mx.where(context < 0, newest, context), newest], axis=-1)
        said = mx.take_along_axis(logits, context, axis=-1)
        penalty = rows.column("penalty").astype(logits.dtype)
        said = mx.where(said < 0, said * penalty, said / penalty)
        return mx.put_along_axis(logits, context, said, axis=-1)

    def _count(self, fed: mx.array, logits: mx.array) -> mx.array:
        rows = self._counts
        if self._counted is None:
            nothing = mx.zeros((1, logits.shape[1]))
            self._counted = mx.concatenate([nothing if one.counts is None else one.counts for one in rows.processors])
        counted = self._counted.at[mx.arange(len(rows.places)), rows.pick(fed)].add(1.0)
        self._counted = counted
        penalty = rows.column("frequency") * counted + rows.column("presence") * (counted > 0)
        return logits - penalty.astype(logits.dtype)

    def _bias(self, logits: mx.array) -> mx.array:
        if self._added is None:
            nothing = mx.zeros((1, logits.shape[1]))
            added = [nothing.at[:, one.ids].add(one.values) for one in self._biases.processors]
            self._added = mx.concatenate(added)
        return logits + self._added.astype(logits.dtype)

    def release(self) -> None:
        """Return their state to the rows' own processors."""
        if self._counted is not None:
            for place, one in enumerate(self._counts.processors):
                one.counts = self._counted[place : place + 1]


def _known(processor: Processor) -> bool:
    if isinstance(processor, RepetitionPenalty):
        return processor.size <= MAX_JOINT_CONTEXT
    return isinstance(processor, CountPenalty | Bias)


class _RowsWith:
    """The rows whose chains have a processor of one kind; true if there are any."""

    def __init__(self, chains: Sequence[Sequence[Processor]], kind: type) -> None:
        found = [(row, one) for row, chain in enumerate(chains) for one in chain if isinstance(one, kind)]
        self.places = [row for row, _ in found]
        self.processors: list[Any] = [one for _, one in found]
        self._some = mx.array(self.places) if len(found) < len(chains) else None
        self._columns: dict[str, mx.array] = {}

    def __bool__(self) -> bool:
        return bool(self.places)

    def column(self, name: str) -> mx.array:
        if name not in self._columns:
            self._columns[name] = mx.array([float(getattr(one, name)) for one in self.processors])[:, None]
        return self._columns[name]

    def pick(self, values: mx.array) -> mx.array:
        return values if self._some is None else values[self._some]

    def on(self, logits: mx.array, change: Callable[[mx.array], mx.array]) -> mx.array:
        """The logits with these rows changed."""
        if self._some is None:
            return change(logits)
        logits[self._some] = change(logits[self._some])
        return logits
