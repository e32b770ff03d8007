"""Five thousand bodies that no client should send: none gives a 500 or hangs, and the next valid request is served."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPMessage
from typing import Any

import attrs
import pytest

from tests.live import fuzzing
from tests.live.client import ask, chat, eventually, queue_stats
from tests.live.harness import LiveServer

CONCURRENCY = 16
HANG = 30.0
"""Seconds after which a request counts as hanging; each takes milliseconds."""
REFUSALS = {400: None, 413: "request_too_large", 504: "timeout"}
"""Statuses that a body can cause, with their codes where they have one. A `timeout` of 0 ends immediately."""


@attrs.frozen
class Reply:
    body: bytes
    status: int
    headers: HTTPMessage
    content: bytes


def post_all(url: str, bodies: Sequence[bytes]) -> list[Reply]:
    """Responses to all bodies, in order, over a few connections. `http.client` costs a quarter of what httpx costs."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    own = threading.local()

    def post(body: bytes) -> Reply:
        if not hasattr(own, "connection"):
            own.connection = HTTPConnection(host, int(port), timeout=HANG)
        try:
            own.connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            answer = own.connection.getresponse()
            return Reply(body, answer.status, answer.headers, answer.read())
        except (OSError, HTTPException) as error:
            pytest.fail(f"{error!r} after {body[:500]!r}")

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return list(pool.map(post, bodies))


def assert_sound(reply: Reply) -> None:
    """Assert a valid answer, a stream that ends, or a refusal in the error envelope; each with its request ID."""
    shown = (reply.status, reply.content[:300], reply.body[:500])
    assert reply.headers["x-request-id"], shown
    if reply.status == 200 and reply.headers["content-type"].startswith("text/event-stream"):
        assert reply.content.endswith(b"data: [DONE]\n\n"), shown
        assert b'"internal_error"' not in reply.content, shown
        return
    answer: Any = json.loads(reply.content)
    if reply.status == 200:
        assert answer["choices"][0]["finish_reason"] in ("stop", "length"), shown
        return
    assert reply.status in REFUSALS, shown
    assert set(answer) == {"error"}, shown
    assert set(answer["error"]) == {"message", "type", "param", "code"}, shown
    assert isinstance(answer["error"]["message"], str), shown
    assert answer["error"]["message"], shown
    assert answer["error"]["code"] == (REFUSALS[reply.status] or answer["error"]["code"]), shown


def assert_well(server: LiveServer) -> None:
    """Assert that no request remains, no error was unforeseen, and the next valid request is served."""
    eventually(lambda: queue_stats(server.url)["active"] == 0)
    assert queue_stats(server.url)["pending"] == 0
    good = ask(server.url, chat("What is the capital of France?", temperature=0))
    assert good.status_code == 200
    assert good.json()["choices"][0]["message"]["content"]
    assert not re.search("Traceback|unforeseen|engine died", server.log.text), server.log.text[-5000:]


@pytest.fixture(scope="module")
def bodies(echo_server: LiveServer) -> list[bytes]:
    document = ask(echo_server.url, method="GET", path="/schema/openapi.json").json()
    fields = sorted(document["components"]["schemas"]["ChatCompletionRequest"]["properties"])
    # A body drawn from the schema costs fifty milliseconds, a mutant almost nothing.
    return [*fuzzing.by_schema(document, 100), *fuzzing.wild(fields, 900), *fuzzing.mutated(4000)]


@pytest.mark.timeout(600)
def test_five_thousand_bodies_give_no_500_and_no_hang(echo_server: LiveServer, bodies: list[bytes]) -> None:
    assert len(bodies) == 5_000

    replies = post_all(echo_server.url, bodies)

    for reply in replies:
        assert_sound(reply)
    statuses = Counter(reply.status for reply in replies)
    assert statuses[200] > 250, statuses  # the valid bodies were answered
    assert statuses[400] > 2500, statuses
    assert_well(echo_server)


@pytest.mark.timeout(600)
def test_the_real_model_survives_invalid_bodies_too(server: LiveServer, bodies: list[bytes]) -> None:
    some = [fuzzing.short(body) for body in bodies[::16]]

    replies = post_all(server.url, some)

    for reply in replies:
        assert_sound(reply)
    statuses = Counter(reply.status for reply in replies)
    assert statuses[200] > 20, statuses
    assert statuses[400] > 100, statuses
    assert_well(server)
