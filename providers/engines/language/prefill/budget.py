"""How many prompt tokens a step may compute while sequences wait for their next token."""

from __future__ import annotations

__all__ = ["GATHER_GAP", "PREFILL_STEP", "PrefillPace"]

PREFILL_STEP = {"cpu": 256, "metal": 2048, "cuda": 2048}
"""Prompt tokens per step. All other requests wait for one chunk, so that a slow device gets small ones."""
GATHER_GAP = {"cpu": 0.02, "metal": 0.005, "cuda": 0.005}
"""Seconds between requests that come together. They come faster where the device leaves the CPU to the server."""
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

    def __init__(self) -> None:
        self._step: float | None = None
        self._token: float | None = None

    def budget(self) -> float:
        """Prompt tokens, padding included, of a step for which sequences wait. Infinite before the first prompt."""
        if self._token is None:
            return float("inf")
        return max(MIN_TOKENS, self.allowance / self._token)

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
