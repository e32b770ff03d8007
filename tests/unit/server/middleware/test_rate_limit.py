"""The limit on requests from one key or address."""

from __future__ import annotations

import pytest
from litestar import Litestar

from server.middleware.rate_limit import Clients
from tests.unit.server.harness import BODY, Exchange, ask, make_app

MINUTE = ("minute", 2)


async def chat(app: Litestar, **headers: str) -> Exchange:
    return await ask(app, json=BODY, headers=headers)


async def test_a_request_over_the_limit_waits_for_the_next_window() -> None:
    app = make_app(rate_limit=MINUTE)
    first, second, third = [await chat(app) for _ in range(3)]

    assert [first.status, second.status, third.status] == [200, 200, 429]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in (first, second)] == ["1", "0"]
    assert "retry-after" not in second.headers
    assert 1 <= int(third.headers["retry-after"]) <= 60
    assert third.error["code"] == "rate_limit_exceeded"
    assert third.error["type"] == "rate_limit_error"
    assert "at most 2 requests per minute" in third.error["message"]


async def test_each_key_has_its_own_limit() -> None:
    app = make_app(rate_limit=MINUTE, api_key="s\u00e9cret", api_key_file=("other",))
    first, other = "Bearer s\u00e9cret".encode().decode("latin-1"), "Bearer other"
    statuses = [(await chat(app, authorization=key)).status for key in (first, first, first, other, other, first)]
    assert statuses == [200, 200, 429, 200, 200, 429]


async def test_a_wrong_key_uses_up_no_limit() -> None:
    app = make_app(rate_limit=MINUTE, api_key="secret")
    assert {(await chat(app, authorization="Bearer wrong")).status for _ in range(4)} == {401}
    assert (await chat(app, authorization="Bearer secret")).status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/v1/queue/stats"])
async def test_looking_is_not_limited(path: str) -> None:
    app = make_app(rate_limit=("hour", 1))
    assert [(await ask(app, "GET", path)).status for _ in range(3)] == [200] * 3
    assert (await chat(app)).status == 200


async def test_the_counts_of_very_many_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.middleware.rate_limit.MAX_CLIENTS", 3)
    clients = Clients()
    for number in range(5):
        await clients.set(f"address {number}", b"1", expires_in=60)
    kept = [await clients.exists(f"address {number}") for number in range(5)]
    assert kept == [False, False, True, True, True]
    await clients.set("address 2", b"2", expires_in=60)
    assert await clients.exists("address 3")
