"""Sampling and stop strings, from the wire of every endpoint that generates to the domain."""

from __future__ import annotations

from collections.abc import Sequence

from contracts._fields import INT32_MAX
from contracts.completions import MAX_TOKEN_ID
from contracts.sampling import SamplingOptions
from providers.chat.types import SamplingParams
from providers.errors import InvalidRequest
from server.api.generation.thinking import agreed

__all__ = ["to_max_tokens", "to_sampling", "to_stop"]

_INT63 = 2**63 - 1


def to_sampling(request: SamplingOptions) -> SamplingParams:
    """Raises: InvalidRequest, if a `logit_bias` key is not a token id, or both names of a penalty differ."""
    return SamplingParams(
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=0 if request.top_k == -1 else request.top_k,
        min_p=request.min_p,
        xtc_probability=request.xtc_probability,
        xtc_threshold=request.xtc_threshold,
        repetition_penalty=agreed(
            {"repetition_penalty": request.repetition_penalty, "repeat_penalty": request.repeat_penalty}
        ),
        repetition_context_size=request.repetition_context_size,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        logit_bias=_logit_bias(request.logit_bias),
        # Random keys have 63 bits. Front ends send -1 for a random seed.
        seed=None if request.seed in (None, -1) else request.seed & _INT63,
    )


def to_stop(stop: str | Sequence[str | None] | None) -> list[str]:
    """The stop strings, each once. Empty ones are dropped: a form with an empty field sends them."""
    return list(dict.fromkeys(text for text in ([stop] if isinstance(stop, str) else stop or []) if text))


def to_max_tokens(limit: int | None) -> int | None:
    """The bound on the tokens of an answer; None for no bound. The engine lowers it to the room of the context."""
    return None if limit is None or limit == -1 else min(limit, INT32_MAX)


def _logit_bias(bias: dict[str, float] | None) -> dict[int, float] | None:
    if not bias:
        return None
    tokens: dict[int, float] = {}
    for key, value in bias.items():
        # Ten digits hold every id. The check keeps int() from huge and non-ASCII numerals.
        if not (key.isascii() and key.isdigit() and len(key) <= 10 and int(key) <= MAX_TOKEN_ID):
            path = f"logit_bias.{key[:64]}"
            raise InvalidRequest(f"{path}: keys must be token ids, as decimal numbers", param=path)
        tokens[int(key)] = value
    return tokens
