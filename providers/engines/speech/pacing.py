"""Where to cut streamed speech, so that it begins early and then plays without a gap.

A sentence's rhythm and melody are computed as a whole; only its samples are decoded part by part, so a cut changes
neither. The next part may be as long as can be decoded while the parts before still play. Seconds throughout, except
for the places of borders, which are samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from providers.engines.speech.timing import Border
from providers.speech.types import SAMPLE_RATE

__all__ = ["MOST_HELD", "OVERHEAD", "SHORTEST", "Pace", "Playback", "next_cut"]

SHORTEST = 1.0
"""A part is at least this long. The decoder's level wanders in shorter ones, and each costs `OVERHEAD` more."""
LONGEST_FIRST = 2.0
"""The first part is longer only if a slower machine would otherwise leave a gap."""
MOST_HELD = 4.0
"""The first part is not made longer than this, even if gaps remain then."""
OVERHEAD = 0.2
"""Seconds of sound on both sides of a part that are decoded and cut off."""
SAFETY = 0.95
"""Share of the buffered sound that the next part may take to decode."""
_WEIGHT = 0.3
"""Weight of the latest part in the average."""
_FIRST_REACH = 1.5
"""The first part may be this many times longer than it has to be, for a better place to cut."""
_EARLIEST = 0.6
"""A later part may be this much shorter than it could be, for a better place to cut."""
_SHORTEST_LAST = 0.5
"""The last part of a sentence is at least this long."""


@attrs.define
class Pace:
    """How long this process needs for a second of sound, measured while it speaks."""

    factor: float = 1.0
    _is_measured: bool = False

    def measured(self, seconds: float, sound: float) -> None:
        """Count a part: `seconds` of work for `sound`, both of one part."""
        if sound > 0:
            self.factor += (_WEIGHT if self._is_measured else 1.0) * (seconds / sound - self.factor)
            self._is_measured = True


@attrs.define
class Playback:
    """What a client has left to play that plays as soon as the first part arrives."""

    began: float | None = None
    sent: float = 0.0

    def add(self, now: float, sound: float) -> None:
        """Count a part that is sent now."""
        if self.began is None:
            self.began = now
        # After a gap the rest plays later.
        elif now - self.began > self.sent:
            self.began = now - self.sent
        self.sent += sound

    def buffered(self, now: float) -> float:
        return 0.0 if self.began is None else max(0.0, self.began + self.sent - now)

    def wanted(self, now: float, factor: float, rest: float) -> tuple[float, float]:
        """The least and the most that the next part should last. `rest`: what is known and not yet decoded."""
        if self.began is None:
            # So long that later parts grow; where the factor does not allow that, long enough for what is known.
            growing = OVERHEAD / (SAFETY / factor - 1) if factor < SAFETY else LONGEST_FIRST
            lacking = (factor * (1 + OVERHEAD / SHORTEST) - 1) * rest
            least = max(SHORTEST, min(growing, LONGEST_FIRST), min(lacking, MOST_HELD))
            return least, _FIRST_REACH * least
        most = max(SHORTEST, self.buffered(now) * SAFETY / factor - OVERHEAD)
        return max(SHORTEST, _EARLIEST * most), most


def next_cut(
    borders: Sequence[Border], energies: Sequence[float], start: int, end: int, wanted: tuple[float, float]
) -> Border | None:
    """The border at which the part that begins at `start` ends; None if it ends with the piece, at `end`.

    A pause is the best place, then the quietest word border. If none is within what is wanted, the next one is taken.

    Args:
        energies: of the borders.
        wanted: the least and the most that the part should last.
    """
    least, most = (seconds * SAMPLE_RATE for seconds in wanted)
    if end - start <= most:
        return None
    possible = [
        (energy, border)
        for energy, border in zip(energies, borders, strict=True)
        if border.at - start >= SHORTEST * SAMPLE_RATE and end - border.at >= _SHORTEST_LAST * SAMPLE_RATE
    ]
    fitting = [(energy, border) for energy, border in possible if border.at - start <= most]
    if pauses := [border for _, border in fitting if border.pause]:
        return pauses[-1]
    late = [(energy, border) for energy, border in fitting if border.at - start >= least]
    if late or fitting:
        return min(late or fitting, key=lambda found: found[0])[1]
    return possible[0][1] if possible else None
