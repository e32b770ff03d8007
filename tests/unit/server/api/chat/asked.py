"""Chat requests, translated without a server."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.chat.request import ChatCompletionRequest
from providers.chat.types import ChatPrompt, GenerationRequest
from providers.errors import InvalidRequest
from server.api.chat.request import to_generation_request
from server.noted import noting
from server.serialization import converter
from tests.unit.server.harness import BODY


def read(**fields: Any) -> ChatCompletionRequest:
    return converter.structure({**BODY, **fields}, ChatCompletionRequest)


def translate(**fields: Any) -> GenerationRequest:
    return to_generation_request(read(**fields), id="req_1")


def prompt(**fields: Any) -> ChatPrompt:
    asked = translate(**fields).prompt
    assert isinstance(asked, ChatPrompt)
    return asked


def noted(**fields: Any) -> list[str]:
    """The names of what has no effect."""
    with noting() as found:
        translate(**fields)
    return [*found.names]


def refused(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        translate(**fields)
    return caught.value
