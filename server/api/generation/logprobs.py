"""Log-probabilities as JSON can hold them."""

from __future__ import annotations

__all__ = ["finite_logprob"]

_LEAST = -9999.0


def finite_logprob(logprob: float) -> float:
    """JSON has no infinity: a token that cannot be chosen has -9999, as with OpenAI."""
    return logprob if logprob > _LEAST else _LEAST
