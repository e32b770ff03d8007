"""A server whose log no process reads: the pipe is full after 64 kB, and requests are answered all the same."""

from __future__ import annotations

import signal
from collections.abc import Callable

import httpx

from tests.live.client import PATIENCE, chat
from tests.live.harness import STOP_SECONDS, LiveServer, assert_gone

REQUESTS = 1_000
"""Their lines are 225 kB. The server stopped after 300 of them."""

Launch = Callable[..., LiveServer]


def test_requests_are_answered_while_the_log_is_not_read(launch: Launch) -> None:
    server = launch("--model-type", "echo")
    with server.log.unread(), httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        statuses = [client.post("/v1/chat/completions", json=chat("Hello")).status_code for _ in range(REQUESTS)]

    assert statuses == [200] * REQUESTS


def test_a_server_whose_log_is_not_read_ends(launch: Launch) -> None:
    server = launch("--model-type", "echo")
    family = server.descendants()
    with server.log.unread():
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
            for _ in range(500):
                client.post("/v1/chat/completions", json=chat("Hello"))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOP_SECONDS) == 0
        assert_gone(family)
