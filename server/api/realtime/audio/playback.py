"""How much of an answer's sound a client has played, by the clock: it plays from the first sound on, in real time."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs

__all__ = ["Playback"]

now = time.monotonic


@attrs.define
class Playback:
    """Of one answer. Sound that arrives after all before it was played is played from then on."""

    after: float = 0.0
    """When the answer before it has been played, by `clock`."""
    clock: Callable[[], float] = attrs.field(factory=lambda: now)
    _sent: float = attrs.field(default=0.0, init=False)
    """Seconds of sound."""
    _began: float | None = attrs.field(default=None, init=False)
    _ends: float = attrs.field(init=False)

    @_ends.default
    def _begins(self) -> float:
        return self.after

    def sent(self, seconds: float) -> None:
        """Note that sound of this duration was sent now."""
        begins = max(self._ends, self.clock())
        if self._began is None:
            self._began = begins
        self._ends = begins + seconds
        self._sent += seconds

    @property
    def began(self) -> float:
        """When its first sound was played, by `clock`, or will be."""
        return self.after if self._began is None else self._began

    @property
    def ends(self) -> float:
        """When all sound that was sent has been played, by `clock`."""
        return self._ends

    @property
    def remaining(self) -> float:
        """Seconds of sound that was sent and has not been played."""
        return max(0.0, min(self._sent, self._ends - self.clock()))

    @property
    def played_ms(self) -> int:
        return round((self._sent - self.remaining) * 1000)
