"""How many prompt tokens a step may compute while sequences wait for their next token."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["BURST", "GATHER_GAP", "PREFILL_STEP", "PrefillPace"]

PREFILL_STEP = {"cpu": 256, "metal": 2048, "cuda": 2048}
"""Prompt tokens per step. All other requests wait for one chunk, so that a slow device gets small ones."""
GATHER_GAP = {"cpu": 0.02, "metal": 0.005, "cuda": 0.005}
"""Seconds between requests that come together. They come faster where the device leaves the CPU to the server."""
BURST = {"cpu": 0.0, "metal": 0.0, "cuda": 1.5}
"""Seconds after the first of several answers has begun in which the prompts that wait are not computed in small pieces:
a pause after the first token is no worse than a later first token. 128 prompts of 519 tokens, of which four came first,
took a 7B model on an H200 2.3 s in pieces, of which 0.5 s were the steps between them, and 1.7 s in one pass. A CPU
computes too little in that time, and Metal could not be measured."""
STEPS = 1.4
"""Decode steps whose time a chunk may take. With the step itself, and as times scatter, 19 of 20 gaps are then shorter
than three times the usual one."""
UNNOTICED = 0.1
"""Seconds that a chunk may always take: ten tokens per second are read and spoken without a pause."""
MIN_TOKENS = 4
_WEIGHT = 0.5
"""Weight of the latest measurement."""


class PrefillPace:
    """Measures the time of steps and computes how much of a prompt fits into the next one. Times are seconds."""

    def __init__(self, burst: float = 0.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`burst`: as in `BURST`."""
        self._burst = burst
        self._clock = clock
        self._awaited_since: float | None = None
        self._step: float | None = None
        self._token: float | None = None

    def note(self, *, awaited: bool) -> None:
        """Note, before each step, whether sequences wait for their next token."""
        if not awaited:
            self._awaited_since = None
        elif self._awaited_since is None:
            self._awaited_since = self._clock()

    def budget(self) -> float:
        """Prompt tokens, padding included, of a step for which sequences wait. Infinite before the first prompt, and in
        a burst."""
        if self._token is None or self._in_burst:
            return float("inf")
        return max(MIN_TOKENS, self.allowance / self._token)

    @property
    def _in_burst(self) -> bool:
        return self._awaited_since is not None and self._clock() - self._awaited_since < self._burst

    @property
    def allowance(self) -> float:
        """Seconds that the prompts of a step may take beside its sequences."""
        return max(STEPS * (self._step or 0.0), UNNOTICED)

    def learn(self, seconds: float, *, sequences: int, tokens: int) -> None:
        """Learn from a step that advanced `sequences` and computed `tokens` of prompts, padding included.

        The device computes the sequences' next tokens beside the prompts, so that a single step does not separate the
        two. A step without prompts measures the sequences only.
        """
        if not tokens:
            if sequences:
                self._step = _blend(self._step, seconds)
            return
        taken = seconds - (self._step or 0.0) if sequences else seconds
        # Other load on the machine, or a faster step, may leave nothing or less: a token is never free.
        self._token = _blend(self._token, max(taken, seconds / 10) / tokens)


def _blend(before: float | None, latest: float) -> float:
    return latest if before is None else before + _WEIGHT * (latest - before)
