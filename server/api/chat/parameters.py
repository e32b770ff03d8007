"""Parameters of a chat request that are known and not honoured yet.

To support one, delete its line and translate it.
"""

from __future__ import annotations

from contracts.chat.request import ChatCompletionRequest
from server.api.generation.parameters import check_stream_options, check_template_kwargs
from server.api.refusals import Refused, refuse

__all__ = ["REFUSED", "refuse_unsupported"]

REFUSED: tuple[Refused, ...] = (
    Refused("functions", ([],), "use tools"),
    Refused("function_call", ("none",), "use tool_choice"),
    Refused("modalities", (["text"],)),
    Refused("audio"),
    Refused("prediction"),
    Refused("web_search_options"),
    Refused("moderation"),
    Refused("verbosity", ("medium",)),
    Refused("service_tier", ("auto", "default")),
    Refused("prompt_cache_options"),
    Refused("prompt_cache_retention", ("in_memory", "in-memory")),
)


def refuse_unsupported(request: ChatCompletionRequest) -> None:
    """Refuse the first parameter that the server would have to ignore.

    Raises:
        UnsupportedParameter: `param` names it.
        InvalidRequest: `stream_options` without `stream`.
    """
    refuse(request, REFUSED)
    check_template_kwargs(request.chat_template_kwargs)
    check_stream_options(request)
