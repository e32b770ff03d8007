"""The errors of this package.

WeightsError        weights cannot be found, fetched, verified or converted
├─ UnknownWeights   nothing has this name
├─ UnusableWeights  there is something of this name, but it cannot be served, or not without the user's consent
├─ DiskFull         the disk that is meant for weights is full
└─ Unreachable      the package index or the hub does not answer, or refuses
"""

from __future__ import annotations

__all__ = ["DiskFull", "UnknownWeights", "Unreachable", "UnusableWeights", "WeightsError"]


class WeightsError(Exception):
    """Raised when weights cannot be found, fetched, verified or converted. The message tells the user what to do."""


class UnknownWeights(WeightsError):
    """Nothing has this name."""


class UnusableWeights(WeightsError):
    """There is something of this name, but it cannot be served, or not without the user's consent."""


class DiskFull(WeightsError):
    """The disk that is meant for weights is full."""


class Unreachable(WeightsError):
    """The package index or the hub does not answer, or refuses."""
