"""Parameters of a response that are known and cannot be honoured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from contracts.responses.request import CreateResponse, Reasoning, TokenCountRequest
from contracts.responses.tools import FunctionTool, ResponseTextParam, Tool
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.chat.parameters import check_template_kwargs

__all__ = [
    "ENCRYPTED_REASONING",
    "LOGPROBS",
    "RESPONSE_REFUSED",
    "ResponseRefused",
    "refuse_unsupported_count",
    "refuse_unsupported_response",
    "refuse_unsupported_retrieval",
]

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED_REASONING = "reasoning.encrypted_content"
INCLUDED = (LOGPROBS, ENCRYPTED_REASONING)
MAX_METADATA_KEY = 64


@attrs.frozen
class ResponseRefused:
    """A parameter that is accepted only where it asks for what happens anyway."""

    name: str
    accepted: tuple[Any, ...] = ()
    hint: str = ""


RESPONSE_REFUSED: tuple[ResponseRefused, ...] = (
    ResponseRefused(
        "truncation", ("disabled",), "shorten the input: what is over the context is a 400 with its counts"
    ),
    ResponseRefused("background", (False,), "stream the response, or wait for it"),
    ResponseRefused("background_options"),
    ResponseRefused("conversation", hint="send previous_response_id"),
    ResponseRefused("prompt", hint="send the prompt's text as instructions"),
    ResponseRefused("context_management", ([],)),
    ResponseRefused("max_tool_calls", hint="it counts the calls of OpenAI's own tools, and there are none"),
    ResponseRefused("moderation"),
    ResponseRefused("access_programs"),
    ResponseRefused("image"),
    ResponseRefused("service_tier", ("auto", "default")),
    ResponseRefused("prompt_cache_retention", ("in_memory",)),
    ResponseRefused("prompt_cache_options", ({}, {"mode": "implicit"})),
    # Of chat completions: to ignore them would be to answer another question.
    ResponseRefused("messages", hint="here it is input"),
    ResponseRefused("max_tokens", hint="here it is max_output_tokens"),
    ResponseRefused("max_completion_tokens", hint="here it is max_output_tokens"),
    ResponseRefused("response_format", hint="here it is text.format"),
    ResponseRefused("reasoning_effort", hint="here it is reasoning.effort"),
    ResponseRefused("verbosity", hint="here it is text.verbosity"),
    ResponseRefused("logprobs", (False,), "here they are asked for by top_logprobs, or by include"),
    ResponseRefused("n", (1,), "ask n times instead"),
    ResponseRefused("functions", hint="here they are tools"),
    ResponseRefused("function_call", hint="here it is tool_choice"),
)
"""Top-level parameters; what is refused inside `reasoning`, `text`, `include` and `tools` is in the functions below."""


def refuse_unsupported_response(request: CreateResponse) -> None:
    """Refuse the first parameter that would have to be ignored.

    Raises:
        UnsupportedParameter: `param` names it.
        InvalidRequest: `stream_options` without `stream`, or metadata that OpenAI would not take.
    """
    for refused in RESPONSE_REFUSED:
        value = getattr(request, refused.name)
        if value is not None and value not in refused.accepted:
            raise UnsupportedParameter(_sentence(refused), param=refused.name)
    _refuse_stream_options(request)
    for index, name in enumerate(request.include or []):
        if name not in INCLUDED:
            raise _unsupported(f"include[{index}]", f"{name!r} is of a tool this server does not have; leave it out")
    for key in request.metadata or {}:
        if len(key) > MAX_METADATA_KEY:
            raise InvalidRequest(f"metadata: a key may have up to {MAX_METADATA_KEY} characters", param="metadata")
    _refuse_shared(request)


def refuse_unsupported_count(request: TokenCountRequest) -> None:
    """The same for a count of tokens.

    Raises:
        UnsupportedParameter: `param` names it.
    """
    for name, accepted in (("conversation", ()), ("personality", ()), ("truncation", ("disabled",))):
        value = getattr(request, name)
        if value is not None and value not in accepted:
            raise _unsupported(name, "leave it out")
    _refuse_shared(request)


def refuse_unsupported_retrieval(query: Iterable[tuple[str, str]]) -> None:
    """The same for the query of a stored response or its items; `include` may ask for what is there anyway.

    Raises:
        UnsupportedParameter: `param` names it.
    """
    for name, value in query:
        if name in ("stream", "include_obfuscation") and value.lower() not in ("false", "0"):
            raise _unsupported(name, "leave it out or set it to false")
        if name == "starting_after":
            raise _unsupported(name, "a stored response is not streamed again; leave it out")
        if name in ("include", "include[]") and value not in INCLUDED:
            raise _unsupported("include", f"{value[:64]!r} is of a tool this server does not have; leave it out")


def _refuse_shared(request: CreateResponse | TokenCountRequest) -> None:
    _refuse_reasoning(request.reasoning)
    _refuse_text(request.text)
    _refuse_tools(request.tools or [])
    check_template_kwargs(request.chat_template_kwargs)


def _refuse_stream_options(request: CreateResponse) -> None:
    if request.stream_options is None:
        return
    if not request.stream:
        raise InvalidRequest("stream_options is only allowed when stream is true", param="stream_options")
    if request.stream_options.include_obfuscation:
        raise _unsupported("stream_options.include_obfuscation", "leave it out or set it to false")


def _refuse_reasoning(reasoning: Reasoning | None) -> None:
    if reasoning is None:
        return
    for name, accepted in (
        ("summary", "auto"),
        ("generate_summary", "auto"),
        ("context", "auto"),
        ("mode", "standard"),
    ):
        if getattr(reasoning, name) not in (None, accepted):
            raise _unsupported(f"reasoning.{name}", f'leave it out or set it to "{accepted}"')


def _refuse_text(text: ResponseTextParam | None) -> None:
    if text is not None and text.verbosity not in (None, "medium"):
        raise _unsupported("text.verbosity", 'leave it out or set it to "medium"')


def _refuse_tools(tools: list[Tool]) -> None:
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        if not isinstance(tool, FunctionTool):
            raise _unsupported(f"{path}.type", f"{tool.type!r} is not a tool of this server; only functions are")
        if tool.allowed_callers not in (None, [], ["direct"]):
            raise _unsupported(f"{path}.allowed_callers", "only the model itself calls; leave it out")
        if tool.defer_loading:
            raise _unsupported(f"{path}.defer_loading", "leave it out or set it to false")
        if tool.output_schema is not None:
            raise _unsupported(f"{path}.output_schema", "leave it out")


def _unsupported(path: str, hint: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"{path} is not supported by this server; {hint}", param=path)


def _sentence(refused: ResponseRefused) -> str:
    values = [str(value).lower() if isinstance(value, bool) else repr(value) for value in refused.accepted]
    otherwise = f"leave it out or set it to {' or '.join(values)}" if values else "leave it out"
    return f"{refused.name} is not supported by this server; {refused.hint or otherwise}"
