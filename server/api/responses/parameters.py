"""Parameters of a response that are known and cannot be honoured."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.responses.request import INCLUDED, CreateResponse, TokenCountRequest
from contracts.responses.tools import FileSearchTool, NamespaceTool, OtherTool, Tool
from providers.errors import InvalidRequest
from server.api.generation.parameters import check_stream_options, check_template_kwargs
from server.api.refusals import check_parameters, unsupported
from server.noted import note

__all__ = [
    "refuse_unsupported_count",
    "refuse_unsupported_response",
    "refuse_unsupported_retrieval",
]


def refuse_unsupported_response(request: CreateResponse) -> None:
    """Refuse the first parameter that the server would have to ignore.

    Raises:
        UnsupportedParameter: `param` names it.
        InvalidRequest: there is nothing to answer.
    """
    if not (request.input or request.instructions or request.previous_response_id) and request.input != "":
        raise InvalidRequest("input: required, but missing", param="input")
    check_parameters(request)
    check_stream_options(request)
    for index, name in enumerate(request.include or []):
        if name not in INCLUDED:
            note(f"include[{index}]")
    _refuse_shared(request)


def refuse_unsupported_count(request: TokenCountRequest) -> None:
    """Refuse the first such parameter of a token count.

    Raises:
        UnsupportedParameter: `param` names it.
    """
    check_parameters(request)
    _refuse_shared(request)


def refuse_unsupported_retrieval(query: Iterable[tuple[str, str]]) -> None:
    """Refuse the first such parameter in the query of a stored response or of its items.

    `include` may name fields that are stored anyway.

    Raises:
        UnsupportedParameter: `param` names it.
    """
    for name, value in query:
        if name in ("include", "include[]") and value not in INCLUDED:
            note("include")
        if name in ("stream", "include_obfuscation") and value.lower() not in ("false", "0"):
            raise unsupported(name, "leave it out or set it to false")
        if name == "starting_after":
            raise unsupported(name, "a stored response is not streamed again; leave it out")


def _refuse_shared(request: CreateResponse | TokenCountRequest) -> None:
    if request.reasoning is not None:
        check_parameters(request.reasoning, path="reasoning.")
    if request.text is not None:
        check_parameters(request.text, path="text.")
    _refuse_tools(request.tools or [])
    check_template_kwargs(request.chat_template_kwargs)


def _refuse_tools(tools: list[Tool]) -> None:
    for index, tool in enumerate(tools):
        members = tool.tools if isinstance(tool, NamespaceTool) else []
        places = [(tool, ""), *((member, f".tools[{place}]") for place, member in enumerate(members))]
        for each, place in places:
            if not isinstance(each, OtherTool | NamespaceTool):
                check_parameters(each, path=f"tools[{index}]{place}.")
            if isinstance(each, FileSearchTool) and each.ranking_options is not None:
                check_parameters(each.ranking_options, path=f"tools[{index}].ranking_options.")
