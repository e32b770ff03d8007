"""Which requests share prompts: those of the same key, and with the same `cache_salt`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

KEYS = {"api_key": "first", "api_key_file": ("second",)}
BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1},
}


async def salts(path: str, *requests: tuple[str, dict[str, Any]], **settings: Any) -> list[str]:
    """The salts of requests with these keys and fields."""
    chat = FakeChat()
    app = make_app(chat, **settings)
    for key, fields in requests:
        answer = await ask(app, path=path, json={**BODIES[path], **fields}, headers={"authorization": f"Bearer {key}"})
        assert answer.status == 200, answer.body
    return [request.cache_salt for request in chat.requests]


@pytest.mark.parametrize("path", BODIES)
async def test_each_of_several_keys_has_its_own_scope_and_each_salt_within_it(path: str) -> None:
    mine = {"cache_salt": "mine"}
    found = await salts(path, ("first", {}), ("second", {}), ("first", mine), ("second", mine), ("first", {}), **KEYS)
    assert found[4] == found[0] != ""
    assert len(set(found)) == 4
    assert not any("first" in salt or "second" in salt for salt in found)


async def test_the_key_that_is_right_decides_and_not_another_one_in_the_headers() -> None:
    chat = FakeChat()
    app = make_app(chat, **KEYS)
    body = BODIES["/v1/chat/completions"]
    for headers in ({"x-api-key": "second"}, {"authorization": "Bearer wrong", "x-api-key": "second"}):
        assert (await ask(app, json=body, headers=headers)).status == 200
    assert len({request.cache_salt for request in chat.requests}) == 1


@pytest.mark.parametrize(
    "settings", [{**KEYS, "prefix_cache_scope": "shared"}, {"api_key": "first", "api_key_file": ("first",)}, {}]
)
async def test_prompts_are_shared_by_request_with_one_key_and_with_none(settings: dict[str, Any]) -> None:
    found = await salts("/v1/chat/completions", ("first", {}), ("first", {"cache_salt": "a"}), **settings)
    assert found[0] == ""
    assert found[1] not in ("", "a")
