"""The one error of this room."""

from __future__ import annotations

__all__ = ["WeightsError"]


class WeightsError(Exception):
    """Weights cannot be found, fetched, verified or converted. The message says what was looked for and what to do."""
