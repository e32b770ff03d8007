"""Steps whose tokens numpy draws, on a CPU, while MLX's thread loses no time to it."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

from providers.engines.process.mlx_lm_internals.decoding import PlannedBatch
from providers.engines.sampling import host_kernels
from providers.engines.sampling.joint import settled
from providers.engines.sampling.logprobs import LogprobRecorder
from providers.engines.sampling.penalties import HostPenalties
from providers.engines.sampling.rows import Rows

__all__ = ["HostPlan", "reads_values"]


@attrs.frozen(kw_only=True)
class _Pending:
    """A step whose tokens are not drawn yet."""

    fed: list[int]
    logits: mx.array
    lines: dict[int, mx.array]
    """By row: the logits of rows whose processors are called one by one."""
    others: dict[int, mx.array]
    """By row: the tokens of samplers of other modules."""
    tokens: mx.array


class HostPlan:
    """One step for the sequences that are in the batch now. It holds as long as they stay the same.

    numpy needs the logits' values, so that a step would wait for them before the graph of the next one is built, which
    takes 4 ms for a model of 30 layers. Therefore a call returns an array of tokens that are not known yet. The next
    step's graph is built on it. Then `settle` waits for the logits, draws, and writes the tokens into the array, before
    anything that depends on them is computed.
    """

    def __init__(self, batch: PlannedBatch, rows: Rows, *, waits: bool) -> None:
        """`waits`: whether the tokens may be left for later. A model that reads values while its graph is built must
        find them there."""
        self._rows = rows
        self._waits = waits
        self._penalties = {
            row: HostPenalties(chain, batch.tokens[row]) for row, chain in enumerate(rows.together) if chain
        }
        self._pending: _Pending | None = None
        self._launched: list[mx.array] = []

    @property
    def state(self) -> list[mx.array]:
        """Arrays to evaluate on every step."""
        return self._launched

    def __call__(self, fed: mx.array, logits: mx.array) -> mx.array:
        self.settle()
        lines = self._rows.process_separately(fed, logits)
        others = {
            row: sampler(lines[row] if row in lines else logits[row : row + 1])
            for row, sampler in enumerate(self._rows.samplers)
            if settled(sampler) is None
        }
        known: list[int] = fed.tolist()  # type: ignore[assignment]
        tokens = mx.array(np.zeros(len(known), dtype=np.uint32))
        lines = {row: line.astype(mx.float32) for row, line in lines.items()}
        self._pending = _Pending(fed=known, logits=logits.astype(mx.float32), lines=lines, others=others, tokens=tokens)
        self._launched = [self._pending.logits, *lines.values(), *others.values(), *self._rows.contexts]
        if not self._waits:
            self.settle()
        return tokens

    def settle(self) -> None:
        """Draw the tokens that the last call returned, if they are not drawn yet."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        mx.eval(pending.logits, pending.lines, pending.others)
        drawn = np.array(pending.tokens, copy=False)
        for row, (sampler, logits) in enumerate(zip(self._rows.samplers, _lines(pending.logits), strict=True)):
            drawn[row] = self._draw(pending, row, sampler, logits)

    def _draw(self, pending: _Pending, row: int, sampler: Any, logits: np.ndarray[Any, Any]) -> int:
        one = settled(sampler)
        if one is None:
            found: Any = pending.others[row].tolist()
            return int(found[0])
        changed = logits
        if row in pending.lines:
            (changed,) = _lines(pending.lines[row])
        elif row in self._penalties:
            changed = self._penalties[row](pending.fed[row], logits)
        token = host_kernels.draw(changed, one.settings, one.chances(1)[0])
        if isinstance(sampler, LogprobRecorder):
            sampler.note_host(token, logits)
        return token

    def release(self) -> None:
        """Leave every sequence as if its own sampler and processors had taken it here."""
        self.settle()
        for penalties in self._penalties.values():
            penalties.release()
        self._rows.renew_contexts()


def _lines(logits: mx.array) -> np.ndarray[Any, Any]:
    return np.array(logits, copy=False)


def reads_values(model: Any) -> bool:
    """Whether a model reads values while its graph is built, as mlx-lm's `dbrx` does with the chosen experts."""
    return any(_reads_values(name) for name in {type(module).__module__ for module in model.modules()})


@functools.cache
def _reads_values(module: str) -> bool:
    if not module.startswith(("mlx_lm.models.", "mlx_vlm.models.")):
        return False
    source = inspect.getsource(sys.modules[module])
    return bool(re.search(r"\.tolist\(|\.item\(|mx\.(async_)?eval\(|np\.array\(", source))
