"""Parameters of a response that are known and cannot be honoured."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.responses.request import CreateResponse, TokenCountRequest
from contracts.responses.tools import FunctionTool, Tool
from providers.errors import InvalidRequest
from server.api.generation.parameters import check_stream_options, check_template_kwargs
from server.api.refusals import Refused, refuse, unsupported

__all__ = [
    "ENCRYPTED_REASONING",
    "LOGPROBS",
    "REFUSED",
    "refuse_unsupported_count",
    "refuse_unsupported_response",
    "refuse_unsupported_retrieval",
]

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED_REASONING = "reasoning.encrypted_content"
INCLUDED = (LOGPROBS, ENCRYPTED_REASONING)
MAX_METADATA_KEY = 64


REFUSED: tuple[Refused, ...] = (
    Refused("truncation", ("disabled",), "shorten the input: what is over the context is a 400 with its counts"),
    Refused("background", (False,), "stream the response, or wait for it"),
    Refused("background_options"),
    Refused("conversation", hint="send previous_response_id"),
    Refused("prompt", hint="send the prompt's text as instructions"),
    Refused("context_management", ([],)),
    Refused("max_tool_calls", hint="it counts the calls of OpenAI's own tools, and there are none"),
    Refused("moderation"),
    Refused("access_programs"),
    Refused("image"),
    Refused("service_tier", ("auto", "default")),
    Refused("prompt_cache_retention", ("in_memory",)),
    Refused("prompt_cache_options", ({}, {"mode": "implicit"})),
    # Of chat completions: to ignore them would be to answer another question.
    Refused("messages", hint="here it is input"),
    Refused("max_tokens", hint="here it is max_output_tokens"),
    Refused("max_completion_tokens", hint="here it is max_output_tokens"),
    Refused("response_format", hint="here it is text.format"),
    Refused("reasoning_effort", hint="here it is reasoning.effort"),
    Refused("verbosity", hint="here it is text.verbosity"),
    Refused("logprobs", (False,), "here they are asked for by top_logprobs, or by include"),
    Refused("n", (1,), "ask n times instead"),
    Refused("functions", hint="here they are tools"),
    Refused("function_call", hint="here it is tool_choice"),
)
"""Of the request itself; what is refused inside `include` and `tools` is in the functions below."""

REFUSED_IN_REASONING = (
    Refused("summary", ("auto",)),
    Refused("generate_summary", ("auto",)),
    Refused("context", ("auto",)),
    Refused("mode", ("standard",)),
)
REFUSED_IN_TEXT = (Refused("verbosity", ("medium",)),)
REFUSED_IN_COUNT = (Refused("conversation"), Refused("personality"), Refused("truncation", ("disabled",)))


def refuse_unsupported_response(request: CreateResponse) -> None:
    """Refuse the first parameter that would have to be ignored.

    Raises:
        UnsupportedParameter: `param` names it.
        InvalidRequest: `stream_options` without `stream`, or metadata that OpenAI would not take.
    """
    refuse(request, REFUSED)
    check_stream_options(request)
    for index, name in enumerate(request.include or []):
        if name not in INCLUDED:
            raise unsupported(f"include[{index}]", f"{name!r} is of a tool this server does not have; leave it out")
    for key in request.metadata or {}:
        if len(key) > MAX_METADATA_KEY:
            raise InvalidRequest(f"metadata: a key may have up to {MAX_METADATA_KEY} characters", param="metadata")
    _refuse_shared(request)


def refuse_unsupported_count(request: TokenCountRequest) -> None:
    """The same for a count of tokens.

    Raises:
        UnsupportedParameter: `param` names it.
    """
    refuse(request, REFUSED_IN_COUNT)
    _refuse_shared(request)


def refuse_unsupported_retrieval(query: Iterable[tuple[str, str]]) -> None:
    """The same for the query of a stored response or its items; `include` may ask for what is there anyway.

    Raises:
        UnsupportedParameter: `param` names it.
    """
    for name, value in query:
        if name in ("stream", "include_obfuscation") and value.lower() not in ("false", "0"):
            raise unsupported(name, "leave it out or set it to false")
        if name == "starting_after":
            raise unsupported(name, "a stored response is not streamed again; leave it out")
        if name in ("include", "include[]") and value not in INCLUDED:
            raise unsupported("include", f"{value[:64]!r} is of a tool this server does not have; leave it out")


def _refuse_shared(request: CreateResponse | TokenCountRequest) -> None:
    if request.reasoning is not None:
        refuse(request.reasoning, REFUSED_IN_REASONING, path="reasoning.")
    if request.text is not None:
        refuse(request.text, REFUSED_IN_TEXT, path="text.")
    _refuse_tools(request.tools or [])
    check_template_kwargs(request.chat_template_kwargs)


def _refuse_tools(tools: list[Tool]) -> None:
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        if not isinstance(tool, FunctionTool):
            raise unsupported(f"{path}.type", f"{tool.type!r} is not a tool of this server; only functions are")
        if tool.allowed_callers not in (None, [], ["direct"]):
            raise unsupported(f"{path}.allowed_callers", "only the model itself calls; leave it out")
        if tool.defer_loading:
            raise unsupported(f"{path}.defer_loading", "leave it out or set it to false")
        if tool.output_schema is not None:
            raise unsupported(f"{path}.output_schema", "leave it out")
