"""Log-probabilities of generated tokens, for the requests that ask for them."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

from providers.chat.types import TokenLogprob
from providers.engines.output.detokenizer import Vocabulary
from providers.engines.sampling import cuda_kernels, host_kernels
from providers.engines.sampling.samplers import Sampler

__all__ = ["FLOOR", "JointLogprobs", "LogprobRecorder"]

FLOOR = -9999.0
"""The log-probability of tokens that the model rules out, since JSON has no infinity. OpenAI's value."""


class LogprobRecorder:
    """A sampler of one sequence that also records the log-probability of each choice.

    The distribution is the model's own: before penalties, biases, grammars and filters, and at temperature 1, as
    OpenAI's is. The step that draws the token computes it, so that reading it later waits for nothing. Only the chosen
    tokens and the likeliest are copied to the host.
    """

    __slots__ = ("_logits", "_steps", "_vocabulary", "sampler", "top")

    def __init__(self, sampler: Sampler, vocabulary: Vocabulary, top: int) -> None:
        """`top`: how many of the likeliest tokens to report beside the chosen one."""
        self.sampler = sampler
        self.top = top
        self._vocabulary = vocabulary
        self._logits: mx.array | None = None
        self._steps: deque[Any] = deque()
        """Of each step, the row of `_noted` that is this sequence's."""

    def note_logits(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """The sequence's first processor, if it has others: it sees the logits before they are changed."""
        self._logits = logits
        return logits

    def __call__(self, logits: mx.array) -> mx.array:
        """Logits (1, vocabulary), normalised or not → the drawn token's id (1)."""
        drawn = self.sampler(logits)
        noted = _noted(drawn, logits if self._logits is None else self._logits, None, self.top)
        mx.async_eval(drawn, noted)  # type: ignore[no-untyped-call]
        self._steps.append(_Row(_Rows(noted), 0))
        return drawn

    def note_host(self, drawn: int, logits: np.ndarray[Any, Any]) -> None:
        """Record a choice that numpy made. `logits`: (vocabulary), before any change."""
        total = host_kernels.log_sum_exp(logits)
        ids = host_kernels.likeliest(logits, self.top) if self.top else np.zeros(0, dtype=np.intp)
        noted = np.concatenate([logits[drawn : drawn + 1], logits[ids]]).astype(np.float64) - total
        self._steps.append(np.concatenate([noted, ids]))

    def note(self, noted: _Row) -> None:
        """Record a choice of `JointLogprobs`."""
        self._steps.append(noted)

    def take(self, token: int) -> TokenLogprob:
        """The log-probabilities of the sequence's next token. Call it once per token, in order."""
        chosen, *noted = self._steps.popleft().tolist()
        values, ids = noted[: len(noted) // 2], map(int, noted[len(noted) // 2 :])
        others = (max(value, FLOOR) for value in values)
        ranked = sorted(zip(others, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))
        top = [(*self._vocabulary.piece(id), value) for value, id in ranked[: self.top]]
        return TokenLogprob(*self._vocabulary.piece(token), max(chosen, FLOOR), top)


class _Rows:
    """An array that the device computes, whose rows belong to several sequences. The first reader copies all of it."""

    def __init__(self, array: mx.array) -> None:
        self._array = array

    @functools.cached_property
    def lines(self) -> list[Any]:
        found: list[Any] = self._array.tolist()  # type: ignore[assignment]
        return found


@attrs.frozen
class _Row:
    rows: _Rows
    place: int

    def tolist(self) -> list[Any]:
        found: list[Any] = self.rows.lines[self.place]
        return found


class JointLogprobs:
    """The log-probabilities of the sequences of a batch that ask for them, in a few operations."""

    def __init__(self, recorders: Sequence[tuple[int, LogprobRecorder]], rows: int) -> None:
        """`recorders`: with the row of each; `rows`: of the batch."""
        self._recorders = recorders
        self._rows = None if len(recorders) == rows else mx.array([row for row, _ in recorders])
        self._top = max(recorder.top for _, recorder in recorders)
        self.state: list[mx.array] = []
        """What the last step noted."""

    def note(self, drawn: mx.array, logits: mx.array) -> None:
        """Record a step's tokens (rows), drawn after logits (rows, vocabulary) that were not changed."""
        noted = _noted(drawn, logits, self._rows, self._top)
        self.state = [noted]
        rows = _Rows(noted)
        for place, (_, recorder) in enumerate(self._recorders):
            recorder.note(_Row(rows, place))


def _noted(drawn: mx.array, logits: mx.array, rows: mx.array | None, top: int) -> mx.array:
    """Log-probabilities of the tokens `drawn` (rows) from logits (rows, vocabulary), in one array: a step reads one.

    `rows`: those that are wanted; None for all. `top`: at least as many of the likeliest tokens, if there are as many.

    Returns:
        (rows, 1 + 2 × n): the drawn token's, those of the n likeliest, and their ids, which float32 holds exactly.
    """
    if cuda_kernels.available():
        return cuda_kernels.note(logits, drawn, mx.arange(len(logits)) if rows is None else rows, top)
    if rows is not None:
        drawn, logits = drawn[rows], logits[rows]
    return _in_operations(min(top, logits.shape[-1]))(drawn, logits)


@functools.cache
def _in_operations(top: int) -> Callable[[mx.array, mx.array], mx.array]:
    def note(drawn: mx.array, logits: mx.array) -> mx.array:
        own = logits.astype(mx.float32)
        own = own - mx.logsumexp(own, axis=-1, keepdims=True)
        wanted = drawn[:, None]
        if not top:
            return mx.take_along_axis(own, wanted, axis=-1)
        likeliest = mx.argpartition(own, kth=-top, axis=-1)[:, -top:]
        noted = mx.take_along_axis(own, mx.concatenate([wanted, likeliest], axis=-1), axis=-1)
        return mx.concatenate([noted, likeliest.astype(mx.float32)], axis=-1)

    return mx.compile(note)
