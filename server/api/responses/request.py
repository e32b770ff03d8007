"""Requests for a response, from the wire to the domain."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import MappingProxyType

import msgspec

from contracts.chat.audio import Modality
from contracts.chat.request import ReasoningEffort
from contracts.responses.items import StoredItem
from contracts.responses.request import LOGPROBS, CreateResponse, TokenCountRequest
from providers.chat.types import Accepted, ChatPrompt, GenerationEvent, GenerationRequest, Tool
from providers.errors import InvalidRequest
from server.api.generation.grammar import of_format, one_form
from server.api.generation.sampling import to_max_tokens, to_sampling, to_stop
from server.api.generation.thinking import agreed, given_effort, template_arguments, thinking_kwargs
from server.api.responses.conversation import to_turns
from server.api.responses.tools import OfferedTools, to_grammar, to_tools
from server.cache_scope import cache_salt
from server.media.attachments import Seen

__all__ = ["modalities", "renamed", "to_prompt", "to_response_generation"]

_NAMES_HERE = {
    "logprobs": "top_logprobs",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "prompt": "input",
    "response_format": "text.format",
}
"""The engine's names of parameters, and the names of this endpoint."""


def to_response_generation(
    request: CreateResponse,
    items: Sequence[StoredItem],
    offered: OfferedTools,
    seen: Seen = MappingProxyType({}),
    *,
    id: str,
) -> GenerationRequest:
    """Translate a request. The contract has checked each of its values. `items` is the whole conversation. `seen`: as
    of `to_turns`.

    Raises:
        InvalidRequest: values contradict each other, or a `logit_bias` key is not a token id.
    """
    prompt = to_prompt(request, items, offered, seen)
    form = one_form(
        request, to_grammar(request.text.format if request.text else None), of_format(request.response_format)
    )
    if prompt.tool_choice.mode == "required":
        form = None  # a response that must call consists of calls only: it has no text that a form could hold
    grammar, grammar_param = form or (None, "text.format")
    return GenerationRequest(
        id=id,
        prompt=prompt,
        sampling=to_sampling(request),
        max_tokens=_max_tokens(request),
        stop=to_stop(request.stop),
        timeout=request.timeout,
        top_logprobs=_top_logprobs(request),
        grammar=grammar,
        grammar_param=grammar_param,
        max_reasoning_tokens=request.max_reasoning_tokens,
        stream=bool(request.stream),
        cache_salt=cache_salt(request.cache_salt),
        cache_key=request.prompt_cache_key or "",
    )


def to_prompt(
    request: CreateResponse | TokenCountRequest,
    items: Sequence[StoredItem],
    offered: OfferedTools,
    seen: Seen = MappingProxyType({}),
) -> ChatPrompt:
    """The prompt of the model.

    Raises:
        InvalidRequest: calls do not match their outputs, or the choice of a tool does not match the tools.
    """
    tools, choice = to_tools(offered, request.tool_choice, request.parallel_tool_calls)
    effort = _effort(request)
    return ChatPrompt(
        messages=to_turns(items, instructions=request.instructions, seen=seen),
        template_kwargs={**thinking_kwargs(effort), **template_arguments(request.chat_template_kwargs)},
        tools=tools,
        tool_choice=choice,
    )


def modalities(request: CreateResponse) -> list[Modality] | None:
    """What the response consists of. Raises: InvalidRequest, if the names of the field differ."""
    return agreed({"modalities": request.modalities, "output_modalities": request.output_modalities})


async def renamed(
    events: AsyncGenerator[GenerationEvent, None], offered: OfferedTools, listed: Sequence[Tool]
) -> AsyncGenerator[GenerationEvent, None]:
    """The same events. A refusal has the parameter's name of this endpoint. `listed`: the prompt's functions."""
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Accepted) and event.given_up:
                    given_up = tuple(_name_here(path, offered, listed) for path in event.given_up)
                    event = msgspec.structs.replace(event, given_up=given_up)
                yield event
    except InvalidRequest as error:
        if error.param is not None:
            error.param = _name_here(error.param, offered, listed)
        raise


def _name_here(param: str, offered: OfferedTools, listed: Sequence[Tool]) -> str:
    if param.startswith("tools["):
        return offered.path(param, listed)
    return _NAMES_HERE.get(param, param)


def _max_tokens(request: CreateResponse) -> int | None:
    """The limit under the names that clients know. Raises: InvalidRequest, if two of them differ."""
    names = ("max_output_tokens", "max_completion_tokens", "max_tokens")
    return to_max_tokens(agreed({name: getattr(request, name) for name in names}))


def _effort(request: CreateResponse | TokenCountRequest) -> ReasoningEffort | None:
    """Raises: InvalidRequest, if the fields that set it differ."""
    effort = given_effort(request.reasoning.effort if request.reasoning else None)
    if isinstance(request, TokenCountRequest):
        return effort
    return agreed({"reasoning.effort": effort, "reasoning_effort": given_effort(request.reasoning_effort)})


def _top_logprobs(request: CreateResponse) -> int | None:
    """The number of likeliest tokens to report. `include` without a number requests only the chosen tokens."""
    if request.top_logprobs:
        return request.top_logprobs
    return 0 if request.logprobs or LOGPROBS in (request.include or []) else None
