"""When the legs of a spoken turn ended."""

from __future__ import annotations

import attrs

__all__ = ["Legs"]


@attrs.define
class Legs:
    """Of one turn of the user. Times are of the monotonic clock, in seconds."""

    spoken: float
    """The speech ended."""
    found: float
    """Its end was found, or the client committed."""
    transcribed: float | None = None
    """Its words were known."""
