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
from providers.engines.sampling import host_kernels
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
        self._steps: deque[tuple[Any, Any]] = deque()
        """Of each step: the chosen token's log-probability and those of the likeliest tokens, and the likeliest ids;
        as arrays or, with the row of this sequence, as those of several sequences."""

    def note_logits(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """The sequence's first processor, if it has others: it sees the logits before they are changed."""
        self._logits = logits
        return logits

    def __call__(self, logits: mx.array) -> mx.array:
        """Logits (1, vocabulary), normalised or not → the drawn token's id (1)."""
        drawn = self.sampler(logits)
        own = (logits if self._logits is None else self._logits)[0].astype(mx.float32)
        own = own - mx.logsumexp(own)
        noted, likeliest = own[drawn], None
        top = min(self.top, own.size)
        if top:
            likeliest = mx.argpartition(own, kth=-top)[-top:]
            noted = mx.concatenate([noted, own[likeliest]])
        mx.async_eval(drawn, noted, likeliest)  # type: ignore[no-untyped-call]
        self._steps.append((noted, likeliest))
        return drawn

    def note_host(self, drawn: int, logits: np.ndarray[Any, Any]) -> None:
        """Record a choice that numpy made. `logits`: (vocabulary), before any change."""
        total = host_kernels.log_sum_exp(logits)
        ids = host_kernels.likeliest(logits, self.top) if self.top else np.zeros(0, dtype=np.intp)
        noted = np.concatenate([logits[drawn : drawn + 1], logits[ids]]).astype(np.float64) - total
        self._steps.append((noted, ids))

    def note(self, noted: _Row, likeliest: _Row | None = None) -> None:
        """Record a choice of `JointLogprobs`."""
        self._steps.append((noted, likeliest))

    def take(self, token: int) -> TokenLogprob:
        """The log-probabilities of the sequence's next token. Call it once per token, in order."""
        noted, likeliest = self._steps.popleft()
        values: list[float] = noted.tolist()
        ids: list[int] = [] if likeliest is None else likeliest.tolist()
        chosen, *others = (max(value, FLOOR) for value in values)
        ranked = sorted(zip(others, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))
        top = [(*self._vocabulary.piece(id), value) for value, id in ranked[: self.top]]
        return TokenLogprob(*self._vocabulary.piece(token), chosen, top)


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
        if self._rows is not None:
            drawn, logits = drawn[self._rows], logits[self._rows]
        top = min(self._top, logits.shape[-1])
        noted, *likeliest = _note(drawn, logits) if not top else _note_likeliest(top)(drawn, logits)
        self.state = [noted, *likeliest]
        rows = [_Rows(array) for array in self.state]
        for place, (_, recorder) in enumerate(self._recorders):
            recorder.note(*(_Row(each, place) for each in rows))


def _normalized(logits: mx.array) -> mx.array:
    logits = logits.astype(mx.float32)
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


@mx.compile
def _note(drawn: mx.array, logits: mx.array) -> tuple[mx.array]:
    return (mx.take_along_axis(_normalized(logits), drawn[:, None], axis=-1),)


@functools.cache
def _note_likeliest(top: int) -> Callable[[mx.array, mx.array], tuple[mx.array, mx.array]]:
    def note(drawn: mx.array, logits: mx.array) -> tuple[mx.array, mx.array]:
        own = _normalized(logits)
        likeliest = mx.argpartition(own, kth=-top, axis=-1)[:, -top:]
        wanted = mx.concatenate([drawn[:, None], likeliest], axis=-1)
        return mx.take_along_axis(own, wanted, axis=-1), likeliest

    return mx.compile(note)
