"""Parameters to which a model cannot be held are named in the header, as those without effect are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from providers.chat.types import Accepted, Finished, GenerationEvent, GenerationRequest, TextDelta, Usage
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

MESSAGES = [{"role": "user", "content": "Hi"}]
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/messages": {"messages": MESSAGES},
    "/v1/responses": {"model": "any", "input": "Hi"},
}


async def free(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    yield Accepted(1, 0, given_up=("tool_choice",))
    yield TextDelta("Hi")
    yield Finished("stop", Usage(1, 1), prefill_seconds=0, decode_seconds=0)


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("stream", [True, False])
async def test_they_are_in_the_header(path: str, stream: bool) -> None:
    answer = await ask(make_app(FakeChat(script=free)), path=path, json={**REQUESTS[path], "stream": stream})
    assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, "tool_choice")


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_strict_server_refuses_them(path: str, stream: bool) -> None:
    app = make_app(FakeChat(script=free), strict_parameters=True)
    answer = await ask(app, path=path, json={**REQUESTS[path], "stream": stream})
    assert (answer.status, answer.json["error"]["param"]) == (400, "tool_choice")


async def test_a_response_names_them_as_its_client_does() -> None:
    async def loose(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        async for event in free(_):
            yield Accepted(1, 0, given_up=("tools[0].function.strict",)) if isinstance(event, Accepted) else event

    tools = [{"type": "web_search"}, {"type": "function", "name": "f", "strict": True}]
    answer = await ask(
        make_app(FakeChat(script=loose)), path="/v1/responses", json={**REQUESTS["/v1/responses"], "tools": tools}
    )
    assert answer.headers["x-ignored-parameters"] == "tools[0].web_search, tools[1].strict"
