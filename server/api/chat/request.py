"""Chat requests, from the wire to the domain."""

from __future__ import annotations

from types import MappingProxyType

from contracts.chat.request import ChatCompletionRequest
from providers.chat.types import ChatPrompt, GenerationRequest
from providers.errors import InvalidRequest
from server.api.chat.functions import selection
from server.api.generation.continuation import continues, without_continuation
from server.api.generation.grammar import to_grammar
from server.api.generation.messages import to_chat_messages
from server.api.generation.parameters import check_stream_options, check_template_kwargs
from server.api.generation.sampling import to_max_tokens, to_sampling, to_stop
from server.api.generation.thinking import max_reasoning_tokens, template_arguments, thinking_switches
from server.api.refusals import check_parameters
from server.cache_scope import cache_salt
from server.media.attachments import Seen

__all__ = ["to_generation_request"]


def to_generation_request(
    request: ChatCompletionRequest, seen: Seen = MappingProxyType({}), *, id: str
) -> GenerationRequest:
    """Translate a request. The contract has checked each of its values. `seen`: as of `to_chat_messages`.

    Raises:
        InvalidRequest: values contradict each other, or a `logit_bias` key is not a token id.
        UnsupportedParameter: the server cannot honour a parameter.
    """
    check_parameters(request)
    template_kwargs = without_continuation(request.chat_template_kwargs)
    check_template_kwargs(template_kwargs)
    check_stream_options(request)
    tools, choice = selection(request)
    form = to_grammar(request, request.response_format)
    if form is None or choice.mode == "required":
        # An answer that must call consists of calls only: it has no content that a form could hold.
        grammar, grammar_param = None, "response_format"
    else:
        grammar, grammar_param = form
    return GenerationRequest(
        id=id,
        prompt=ChatPrompt(
            messages=to_chat_messages(request.messages, seen),
            template_kwargs={**thinking_switches(request), **template_arguments(template_kwargs)},
            tools=tools,
            tool_choice=choice,
            continue_final=continues(request),
        ),
        sampling=to_sampling(request),
        max_tokens=_max_tokens(request),
        stop=to_stop(request.stop),
        timeout=request.timeout,
        n=1 if request.prefill_only else request.n or 1,
        top_logprobs=_top_logprobs(request),
        grammar=grammar,
        grammar_param=grammar_param,
        max_reasoning_tokens=max_reasoning_tokens(request),
        prefill_only=bool(request.prefill_only),
        stream=bool(request.stream),
        cache_salt=cache_salt(request.cache_salt),
        cache_key=request.prompt_cache_key or "",
    )


def _max_tokens(request: ChatCompletionRequest) -> int | None:
    """`max_tokens` is the older name of `max_completion_tokens`."""
    old, new = request.max_tokens, request.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise InvalidRequest(
            f"max_tokens is {old} and max_completion_tokens is {new}; they mean the same: send one of them",
            param="max_completion_tokens",
        )
    return to_max_tokens(old if new is None else new)


def _top_logprobs(request: ChatCompletionRequest) -> int | None:
    if request.logprobs:
        return request.top_logprobs or 0
    if request.top_logprobs:
        raise InvalidRequest("top_logprobs is only allowed when logprobs is true", param="top_logprobs")
    return None
