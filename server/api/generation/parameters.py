"""Checks of the parameters that every endpoint of a chat model has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from providers.chat.types import RESERVED_TEMPLATE_KWARGS, Accepted
from providers.errors import UnsupportedParameter
from server.api.refusals import check_parameters
from server.noted import note

__all__ = ["check_stream_options", "check_template_kwargs", "note_given_up"]


class _Streamed(Protocol):
    @property
    def stream(self) -> bool | None: ...

    @property
    def stream_options(self) -> attrs.AttrsInstance | None: ...


def check_template_kwargs(template_kwargs: Mapping[str, Any] | None) -> None:
    """Raises: UnsupportedParameter, for an argument of the template that only the server sets."""
    for key in sorted(RESERVED_TEMPLATE_KWARGS & (template_kwargs or {}).keys()):
        path = f"chat_template_kwargs.{key}"
        raise UnsupportedParameter(f"{path} is set by the server", param=path)


def check_stream_options(request: _Streamed) -> None:
    """Note options that have no effect: all of them without `stream`. Gateways send them with every request.

    Raises:
        UnsupportedParameter: the server has `--strict-parameters`.
    """
    if request.stream_options is None:
        return
    if request.stream:
        check_parameters(request.stream_options, path="stream_options.")
    elif request.stream_options != type(request.stream_options)():
        note("stream_options")


def note_given_up(event: Accepted) -> None:
    """Note the parameters to which the model cannot be held. Call it before the response begins.

    Raises:
        UnsupportedParameter: the server has `--strict-parameters`.
    """
    for path in event.given_up:
        note(path, known=False)
