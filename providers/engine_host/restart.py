"""When to start an engine again that died or could not load."""

from __future__ import annotations

import attrs

__all__ = ["RestartPolicy", "Starts"]


@attrs.frozen(kw_only=True)
class RestartPolicy:
    """When to restart an engine that died. Times are seconds.

    After the n-th death in a row the host waits `first_delay * 2**(n - 1)`, at most `max_delay`. An engine that was
    ready for `stable` seconds starts a new count. After `attempts` deaths in a row the host gives up a model that was
    never ready. A model that was ready once is restarted for ever: neither requests that kill it nor weights that are
    missing for a while must remove it for good.
    """

    first_delay: float = 0.25
    max_delay: float = 30.0
    stable: float = 30.0
    attempts: int = 5

    def delay(self, deaths: int) -> float:
        """Seconds to wait after this many deaths in a row."""
        doublings = min(deaths - 1, 64)  # a float has no room for 2**1024
        return min(self.max_delay, self.first_delay * 2.0**doublings)


class Starts:
    """The deaths of one model's engines, and what follows from them: a circuit breaker."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._was_ready = False
        self._deaths = 0

    def died(self, ready_seconds: float | None) -> float | None:
        """Count a death. Returns the delay until the next start, or None to give up.

        `ready_seconds`: how long the engine was ready; None if it never was.
        """
        if ready_seconds is not None:
            self._was_ready = True
            if ready_seconds >= self._policy.stable:
                self._deaths = 0
        self._deaths += 1
        if not self._was_ready and self._deaths >= self._policy.attempts:
            return None
        return self._policy.delay(self._deaths)

    @property
    def deaths(self) -> int:
        """Deaths in a row."""
        return self._deaths
