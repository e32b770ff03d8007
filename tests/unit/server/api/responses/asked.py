"""Requests for a response, translated without a server."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.responses.request import CreateResponse, TokenCountRequest
from providers.chat.types import ChatPrompt, GenerationRequest
from providers.errors import InvalidRequest
from server.api.responses.conversation import input_items
from server.api.responses.request import to_prompt, to_response_generation
from server.api.responses.tools import offer
from server.noted import noting
from server.serialization import converter
from tests.unit.server.api.responses.scripts import BODY


def translate(**fields: Any) -> GenerationRequest:
    request = converter.structure({**BODY, **fields}, CreateResponse)
    items = input_items(request.input, {}, response_id="resp_1")
    return to_response_generation(request, items, offer(request.tools), id="req_1")


def prompt(**fields: Any) -> ChatPrompt:
    asked = translate(**fields).prompt
    assert isinstance(asked, ChatPrompt)
    return asked


def counted(**fields: Any) -> ChatPrompt:
    """The prompt whose tokens are counted."""
    request = converter.structure({**BODY, **fields}, TokenCountRequest)
    return to_prompt(request, input_items(request.input, {}, response_id="resp_1"), offer(request.tools))


def noted(**fields: Any) -> list[str]:
    """The names of what has no effect."""
    with noting() as found:
        translate(**fields)
    return [*found.names]


def refused(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        translate(**fields)
    return caught.value
