"""The error of this package."""

from __future__ import annotations

__all__ = ["WeightsError"]


class WeightsError(Exception):
    """Raised when weights cannot be found, fetched, verified or converted. The message tells the user what to do."""
