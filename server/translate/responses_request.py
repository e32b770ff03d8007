"""A response's request, from the wire to the domain."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from contracts.response_items import StoredItem
from contracts.responses import CreateResponse, Reasoning, TokenCountRequest
from providers.errors import InvalidRequest
from providers.generation import ChatPrompt, GenerationEvent, GenerationRequest, SamplingParams
from server.translate.responses_conversation import to_turns
from server.translate.responses_parameters import LOGPROBS
from server.translate.responses_tools import to_grammar, to_tools

__all__ = ["renamed", "to_prompt", "to_response_generation"]

_NAMES_HERE = {
    "logprobs": "top_logprobs",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "prompt": "input",
    "response_format": "text.format",
}
"""What the engine calls a parameter, and what it is called here."""

_UINT31 = 2**31 - 1
_INT63 = 2**63 - 1


def to_response_generation(request: CreateResponse, items: Sequence[StoredItem], *, id: str) -> GenerationRequest:
    """Translate a request whose values the contract has checked one by one. `items` is the whole conversation.

    Raises:
        InvalidRequest: values that do not go together, or a `logit_bias` key that is no token id.
    """
    return GenerationRequest(
        id=id,
        prompt=to_prompt(request, items),
        sampling=_sampling(request),
        max_tokens=request.max_output_tokens,
        stop=_stop(request.stop),
        timeout=request.timeout,
        top_logprobs=_top_logprobs(request),
        grammar=to_grammar(request.text.format if request.text else None),
        max_reasoning_tokens=request.max_reasoning_tokens,
    )


def to_prompt(request: CreateResponse | TokenCountRequest, items: Sequence[StoredItem]) -> ChatPrompt:
    """What the model reads.

    Raises:
        InvalidRequest: calls and their outputs, or tools and the choice among them, do not go together.
    """
    tools, choice = to_tools(request.tools, request.tool_choice, request.parallel_tool_calls)
    return ChatPrompt(
        messages=to_turns(items, instructions=request.instructions),
        template_kwargs={**_thinking(request.reasoning), **(request.chat_template_kwargs or {})},
        tools=tools,
        tool_choice=choice,
    )


async def renamed(events: AsyncGenerator[GenerationEvent, None]) -> AsyncGenerator[GenerationEvent, None]:
    """The same events; a refusal names the parameter as this endpoint does."""
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except InvalidRequest as error:
        if error.param is not None:
            error.param = _NAMES_HERE.get(error.param, error.param)
        raise


def _thinking(reasoning: Reasoning | None) -> dict[str, Any]:
    """Effort, in the words of chat templates; `chat_template_kwargs` has the last word."""
    if reasoning is None or reasoning.effort is None:
        return {}
    if reasoning.effort == "none":
        return {"enable_thinking": False}
    return {"reasoning_effort": reasoning.effort, "enable_thinking": True}


def _sampling(request: CreateResponse) -> SamplingParams:
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
        # Random keys are unsigned: the sign bit is dropped, so that -1 is 2**63 - 1.
        seed=None if request.seed is None else request.seed & _INT63,
    )


def _top_logprobs(request: CreateResponse) -> int | None:
    """Asked for by number, or by name alone: then those of the chosen tokens."""
    if request.top_logprobs:
        return request.top_logprobs
    return 0 if LOGPROBS in (request.include or []) else None


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
