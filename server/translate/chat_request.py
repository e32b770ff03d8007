"""A chat request, from the wire to the domain."""

from __future__ import annotations

from contracts.chat import ChatCompletionRequest
from providers.errors import InvalidRequest
from providers.generation import ChatPrompt, GenerationRequest, SamplingParams
from server.translate.messages import to_chat_messages
from server.translate.parameters import refuse_unsupported

__all__ = ["to_generation_request"]

_UINT31 = 2**31 - 1
_INT63 = 2**63 - 1


def to_generation_request(request: ChatCompletionRequest, *, id: str) -> GenerationRequest:
    """Translate a request whose values the contract has checked one by one.

    Raises:
        InvalidRequest: values that do not go together, or a `logit_bias` key that is no token id.
        UnsupportedParameter: something this server cannot honour.
    """
    refuse_unsupported(request)
    return GenerationRequest(
        id=id,
        prompt=ChatPrompt(
            messages=to_chat_messages(request.messages), template_kwargs=request.chat_template_kwargs or {}
        ),
        sampling=_sampling(request),
        max_tokens=_max_tokens(request),
        stop=_stop(request.stop),
        timeout=request.timeout,
    )


def _sampling(request: ChatCompletionRequest) -> SamplingParams:
    return SamplingParams(
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=0 if request.top_k == -1 else request.top_k,
        min_p=request.min_p,
        xtc_probability=request.xtc_probability,
        xtc_threshold=request.xtc_threshold,
        repetition_penalty=request.repetition_penalty,
        repetition_context_size=request.repetition_context_size,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        logit_bias=_logit_bias(request.logit_bias),
        # Random keys are unsigned. OpenAI takes any 64-bit integer, so the sign bit is dropped: -1 is 2**63 - 1.
        seed=None if request.seed is None else request.seed & _INT63,
    )


def _max_tokens(request: ChatCompletionRequest) -> int | None:
    """`max_tokens` is the older name of `max_completion_tokens`."""
    old, new = request.max_tokens, request.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise InvalidRequest(
            f"max_tokens is {old} and max_completion_tokens is {new}; they mean the same, send one",
            param="max_completion_tokens",
        )
    return old if new is None else new


def _stop(stop: str | list[str] | None) -> list[str]:
    if stop is None:
        return []
    return list(dict.fromkeys([stop] if isinstance(stop, str) else stop))


def _logit_bias(bias: dict[str, float] | None) -> dict[int, float] | None:
    if not bias:
        return None
    tokens: dict[int, float] = {}
    for key, value in bias.items():
        # Ten digits hold every id; the check keeps int() away from huge and non-ASCII numerals.
        if not (key.isascii() and key.isdigit() and len(key) <= 10 and int(key) <= _UINT31):
            path = f"logit_bias.{key[:64]}"
            raise InvalidRequest(f"{path}: keys must be token ids, as decimal numbers", param=path)
        tokens[int(key)] = value
    return tokens
