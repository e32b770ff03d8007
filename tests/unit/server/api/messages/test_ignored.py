"""Anthropic's Messages API: what has no effect is named in a header."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import ChatPrompt
from tests.unit.server.api.messages.asking import BODY, PATH, READ, asked_with, returned
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        ({"cache_control": {"type": "ephemeral"}}, "cache_control"),
        ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}, "system[].cache_control"),
        ({"tools": [{**READ, "cache_control": {"type": "ephemeral"}}]}, "tools[].cache_control"),
        (
            {"messages": returned({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}})},
            "messages[].content[].content[].cache_control",
        ),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, "thinking.display"),
        ({"mcp_servers": [{"type": "url", "url": "x", "name": "x"}]}, "mcp_servers"),
        (
            {
                "messages": [
                    {"role": "user", "content": "x"},
                    {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "web_search"}]},
                    {"role": "user", "content": "y"},
                ]
            },
            "messages[].content[].server_tool_use",
        ),
        ({"mcp_servers": [], "context_management": {}}, None),
    ],
)
@pytest.mark.parametrize("path", [PATH, f"{PATH}/count_tokens"])
async def test_what_has_no_effect_is_named_at_any_depth(path: str, fields: dict[str, Any], header: str | None) -> None:
    answer = await ask(make_app(FakeChat()), path=path, json={**BODY, **fields})
    named = {*answer.headers.get("x-ignored-parameters", "").split(", ")} - {"", "max_tokens"}  # no field of a count
    assert answer.status == 200
    assert named == ({header} if header else set())


async def test_parameters_without_effect_are_named_in_a_header() -> None:
    answer = await asked_with(
        FakeChat(),
        metadata={"user_id": "u"},
        service_tier="auto",
        tools=[READ, {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}],
    )
    assert answer.status == 200
    assert (
        answer.headers["x-ignored-parameters"]
        == "tools[].max_uses, metadata, service_tier, tools[1].web_search_20250305"
    )


async def test_an_ordinary_request_has_no_such_header() -> None:
    assert "x-ignored-parameters" not in (await asked_with(FakeChat())).headers


@pytest.mark.parametrize("path", [f"{PATH}/count_tokens", f"{PATH}/count_tokens?beta=true"])
async def test_tokens_are_counted_with_the_tools(path: str) -> None:
    chat = FakeChat()
    body = {"model": "claude", "messages": BODY["messages"], "tools": [READ]}
    answer = await ask(make_app(chat), path=path, json=body)
    assert answer.json == {"input_tokens": 2}
    ((counted, _),) = chat.tokenized
    assert isinstance(counted, ChatPrompt)
    assert [tool.name for tool in counted.tools] == ["Read"]
