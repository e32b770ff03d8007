"""Penalties and biases on logits: mlx-lm's logits processors of one row, and the same for many rows together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import mlx.core as mx
import numpy as np
from mlx_lm.sample_utils import make_repetition_penalty

__all__ = ["Bias", "CountPenalty", "HostPenalties", "JointPenalties", "Processor", "RepetitionPenalty", "joins"]

Processor = Callable[[mx.array, mx.array], mx.array]
"""All tokens fed so far (n) and logits (1, vocabulary) → logits (1, vocabulary)."""

_P = TypeVar("_P")

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

    def begin(self, width: int) -> bool:
        """See that there are counts. Returns whether the token that is fed now counts: the prompt's last one does not.

        `width`: tokens of the vocabulary.
        """
        if self.counts is not None:
            return True
        self.counts = mx.zeros((1, width))
        if self._replayed is None:
            return False
        if self._replayed:
            self.counts = self.counts.at[:, mx.array(self._replayed)].add(1.0)
        return True

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        if not self.begin(logits.shape[-1]):
            return logits
        assert self.counts is not None
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


def joins(chain: Sequence[Processor]) -> bool:
    """Whether the processors of this chain can be applied together with other rows', in their order."""
    order = [(RepetitionPenalty, CountPenalty, Bias).index(type(one)) for one in chain if _known(one)]
    return len(order) == len(chain) and order == sorted(set(order))


def _known(processor: Processor) -> bool:
    if isinstance(processor, RepetitionPenalty):
        return processor.size <= MAX_JOINT_CONTEXT
    return isinstance(processor, CountPenalty | Bias)


class JointPenalties:
    """The processors of several rows in a few calls: every row is changed, those without a processor by nothing.

    It owns their state until `release`: they are not called meanwhile.
    """

    def __init__(self, chains: Sequence[Sequence[Processor]], tokens: Sequence[list[int]]) -> None:
        """`chains`: the processors of each row; every chain `joins`. `tokens`: those fed so far, per row; they grow."""
        self._tokens = tokens
        self._repetitions = _found(chains, RepetitionPenalty)
        self._counts = _found(chains, CountPenalty)
        self._biases = _found(chains, Bias)
        rows = len(chains)
        self._penalty = _column(rows, self._repetitions, "penalty", 1.0)
        self._limits = [_column(rows, self._counts, name, 0.0) for name in ("frequency", "presence")]
        self._counting: mx.array | None = None
        """(rows, 1): 1 where the next token counts, else 0. None before the first step."""
        self._counted: mx.array | None = None
        self._added: mx.array | None = None

    @property
    def state(self) -> list[mx.array]:
        """Arrays to evaluate on every step; otherwise MLX's lazy graph keeps growing."""
        return [] if self._counted is None else [self._counted]

    def __call__(self, fed: mx.array, logits: mx.array) -> mx.array:
        """Logits (rows, vocabulary) → the same, changed. `fed` (rows): the token that this step feeds to each row."""
        if self._repetitions:
            logits = _repeat(logits, fed, self._context(len(fed)), self._penalty)
        if self._biases and self._added is None:
            self._added = self._bias(logits)
        if self._counts:
            counted, counting = self._count(logits)
            arguments = [logits, fed, mx.arange(logits.shape[-1]), counted, counting, *self._limits]
            logits, self._counted = _count(*arguments)
        if self._added is not None:
            logits = logits + self._added.astype(logits.dtype)
        return logits

    def _context(self, rows: int) -> mx.array:
        """The last tokens of each row; -1 stands for the one that is fed."""
        known = np.full((rows, max(one.size for one in self._repetitions.values())), -1, dtype=np.int32)
        for row, one in self._repetitions.items():
            last = self._tokens[row][-(one.size - 1) :] if one.size > 1 else []
            known[row, : len(last)] = last
        return mx.array(known)

    def _count(self, logits: mx.array) -> tuple[mx.array, mx.array]:
        rows, width = logits.shape
        counting = np.zeros((rows, 1), dtype=np.float32)
        if self._counted is not None:
            if self._counting is None:
                counting[[*self._counts]] = 1.0
                self._counting = mx.array(counting)
            return self._counted, self._counting
        nothing = mx.zeros((1, width))
        lines = [nothing] * rows
        for row, one in self._counts.items():
            counting[row] = one.begin(width)
            assert one.counts is not None
            lines[row] = one.counts
        return mx.concatenate(lines), mx.array(counting)

    def _bias(self, logits: mx.array) -> mx.array:
        rows, width = logits.shape
        added = np.zeros((rows, width), dtype=np.float32)
        for row, one in self._biases.items():
            added[row, np.array(one.ids)] = np.array(one.values)
        return mx.array(added)

    def release(self) -> None:
        """Return their state to the rows' own processors."""
        if self._counted is not None:
            for row, one in self._counts.items():
                one.counts = self._counted[row : row + 1]


def _found(chains: Sequence[Sequence[Processor]], kind: type[_P]) -> dict[int, _P]:
    """By row: the processor of this kind."""
    return {row: one for row, chain in enumerate(chains) for one in chain if isinstance(one, kind)}


def _column(rows: int, processors: Mapping[int, Any], name: str, otherwise: float) -> mx.array:
    values = np.full((rows, 1), otherwise, dtype=np.float32)
    for row, one in processors.items():
        values[row] = getattr(one, name)
    return mx.array(values)


@mx.compile
def _repeat(logits: mx.array, fed: mx.array, context: mx.array, penalty: mx.array) -> mx.array:
    context = mx.where(context < 0, fed[:, None].astype(mx.int32), context)
    said = mx.take_along_axis(logits, context, axis=-1)
    penalty = penalty.astype(logits.dtype)
    return mx.put_along_axis(logits, context, mx.where(said < 0, said * penalty, said / penalty), axis=-1)


@mx.compile
def _count(
    logits: mx.array,
    fed: mx.array,
    ids: mx.array,
    counted: mx.array,
    counting: mx.array,
    frequency: mx.array,
    presence: mx.array,
) -> tuple[mx.array, mx.array]:
    """The logits with penalties, and the counts with the token that is fed. Without a scatter it is one kernel."""
    counted = counted + mx.where(ids == fed[:, None], counting, 0.0)
    penalty = frequency * counted + presence * (counted > 0)
    return logits - penalty.astype(logits.dtype), counted


class HostPenalties:
    """The processors of one row, applied by numpy.

    It owns their state until `release`: they are not called meanwhile.
    """

    def __init__(self, chain: Sequence[Processor], tokens: list[int]) -> None:
        """`chain` `joins`. `tokens`: those fed so far; they grow."""
        self._chain = chain
        self._tokens = tokens
        self._counts: np.ndarray[Any, Any] | None = None

    def __call__(self, fed: int, logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Logits in float32 (vocabulary) → others. `fed`: the token after which they come, not in `tokens` yet."""
        logits = logits.copy()
        for one in self._chain:
            if isinstance(one, RepetitionPenalty):
                last = self._tokens[-(one.size - 1) :] if one.size > 1 else []
                ids = [token for token in (*last, fed) if token >= 0]
                said = logits[ids]
                logits[ids] = np.where(said < 0, said * np.float32(one.penalty), said / np.float32(one.penalty))
            elif isinstance(one, CountPenalty):
                self._count(one, fed, logits)
            elif isinstance(one, Bias):
                logits[np.array(one.ids)] += np.array(one.values)
        return logits

    def _count(self, one: CountPenalty, fed: int, logits: np.ndarray[Any, Any]) -> None:
        counts = self._counts
        counted = True
        if counts is None:
            counted = one.begin(len(logits))
            assert one.counts is not None
            counts = self._counts = np.array(one.counts[0])
        if counted:
            counts[fed] += 1.0
        logits -= np.float32(one.frequency) * counts + np.float32(one.presence) * (counts > 0)

    def release(self) -> None:
        """Return their state to the row's own processors."""
        for one in self._chain:
            if isinstance(one, CountPenalty) and self._counts is not None:
                one.counts = mx.array(self._counts[None])
