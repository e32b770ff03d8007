"""How much of an answer's sound a client has played, by the clock: it plays from the first sound on, in real time."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs

__all__ = ["Playback"]


@attrs.define
class Playback:
    """Of one answer. Sound that arrives after all before it was played is played from then on."""

    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    _sent: float = attrs.field(default=0.0, init=False)
    """Seconds of sound."""
    _ends: float = attrs.field(default=0.0, init=False)
    """When the sound that was sent has been played."""

    def sent(self, seconds: float) -> None:
        """Note that sound of this duration was sent now."""
        self._ends = max(self._ends, self.clock()) + seconds
        self._sent += seconds

    @property
    def remaining(self) -> float:
        """Seconds until all sound that was sent has been played."""
        return max(0.0, self._ends - self.clock())

    @property
    def played_ms(self) -> int:
        return round((self._sent - self.remaining) * 1000)

    @property
    def sent_ms(self) -> int:
        return round(self._sent * 1000)
