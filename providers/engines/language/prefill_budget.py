"""How many prompt tokens a step may compute while answers wait for their next one."""

from __future__ import annotations

__all__ = ["PrefillPace"]

STEPS = 1.4
"""Of decoding that a chunk may take: with the step itself, and as times scatter, 19 of 20 gaps are then less than three
times the usual one."""
UNNOTICED = 0.1
"""Seconds that a chunk may take in any case: ten tokens a second are read and spoken without a pause."""
MIN_TOKENS = 4
_WEIGHT = 0.5
"""Of the latest measurement."""


class PrefillPace:
    """Learns what steps cost, and tells how much prompt fits into the next. Times are seconds."""

    def __init__(self) -> None:
        self._step: float | None = None
        self._token: float | None = None

    def budget(self) -> float:
        """Tokens of prompts, padding included, for a step in which answers wait; infinite until a prompt was seen."""
        if self._token is None:
            return float("inf")
        return max(MIN_TOKENS, self.allowance / self._token)

    @property
    def allowance(self) -> float:
        """What the prompts of a step may take beside its answers."""
        return max(STEPS * (self._step or 0.0), UNNOTICED)

    def learn(self, seconds: float, *, rows: int, tokens: int) -> None:
        """What a step took that advanced `rows` answers and computed `tokens` of prompts, padding included.

        The device computes the answers' next tokens beside the prompts, so that the two cannot be told apart: a step
        without prompts tells what the answers take.
        """
        if not tokens:
            if rows:
                self._step = _blend(self._step, seconds)
            return
        taken = seconds - (self._step or 0.0) if rows else seconds
        # A neighbour on the machine, or a step that became faster: never free, nor less than nothing.
        self._token = _blend(self._token, max(taken, seconds / 10) / tokens)


def _blend(before: float | None, latest: float) -> float:
    return latest if before is None else before + _WEIGHT * (latest - before)
