"""Parameters that are known and not honoured yet. Turning one on is deleting its line and translating it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from contracts.chat.request import ChatCompletionRequest
from contracts.sampling import GenerationOptions
from providers.chat.types import RESERVED_TEMPLATE_KWARGS
from providers.errors import InvalidRequest, UnsupportedParameter

__all__ = [
    "REFUSED",
    "Refused",
    "check_stream_options",
    "check_template_kwargs",
    "refuse",
    "refuse_unsupported",
]


@attrs.frozen
class Refused:
    """A parameter that is accepted only where it asks for what happens anyway."""

    name: str
    accepted: tuple[Any, ...] = ()
    hint: str = ""


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
    """Refuse the first parameter that would have to be ignored.

    Raises:
        UnsupportedParameter: `param` names it.
        InvalidRequest: `stream_options` without `stream`.
    """
    refuse(request, REFUSED)
    check_template_kwargs(request.chat_template_kwargs)
    check_stream_options(request)


def refuse(request: Any, parameters: Iterable[Refused]) -> None:
    """Refuse the first of these parameters that would have to be ignored.

    Raises:
        UnsupportedParameter: `param` names it.
    """
    for refused in parameters:
        value = getattr(request, refused.name)
        if value is not None and value not in refused.accepted:
            raise UnsupportedParameter(_sentence(refused), param=refused.name)


def check_template_kwargs(template_kwargs: Mapping[str, Any] | None) -> None:
    """Raises: UnsupportedParameter, for what the server itself tells the template."""
    for key in sorted(RESERVED_TEMPLATE_KWARGS & (template_kwargs or {}).keys()):
        raise UnsupportedParameter(
            f"chat_template_kwargs.{key} is set by the server", param=f"chat_template_kwargs.{key}"
        )


def check_stream_options(request: GenerationOptions) -> None:
    """Raises: InvalidRequest without `stream`, UnsupportedParameter for obfuscation."""
    if request.stream_options is not None:
        if not request.stream:
            raise InvalidRequest("stream_options is only allowed when stream is true", param="stream_options")
        if request.stream_options.include_obfuscation:
            name = "stream_options.include_obfuscation"
            raise UnsupportedParameter(f"{name} is not supported; leave it out", param=name)


def _sentence(refused: Refused) -> str:
    values = [str(value).lower() if isinstance(value, bool) else _shown(value) for value in refused.accepted]
    otherwise = f"leave it out or set it to {' or '.join(values)}" if values else "leave it out"
    return f"{refused.name} is not supported by this server; {refused.hint or otherwise}"


def _shown(value: Any) -> str:
    return repr(value).replace("'", '"')
