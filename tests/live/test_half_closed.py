"""Half-closed and pipelining clients, as docs/reliability.md describes them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.live.client import chat, eventually, queue_stats
from tests.live.harness import LiveServer
from tests.live.slow_clients import head

MODELS = head("GET", "/v1/models")


@contextmanager
def connection(server: LiveServer) -> Iterator[socket.socket]:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connected:
        yield connected


def ask_for(text: str, *lines: str, stream: bool = False) -> bytes:
    body = json.dumps(chat(text, stream=stream)).encode()
    return head("POST", "/v1/chat/completions", len(body), *lines) + body


def everything(connected: socket.socket) -> bytes:
    data = b""
    while piece := connected.recv(65_536):
        data += piece
    return data


def test_a_client_that_closes_its_sending_side_gets_no_response(launch: Callable[..., LiveServer]) -> None:
    echo_server = launch("--model-type", "echo", "--model-path", "delay=0.05")
    cancelled = queue_stats(echo_server.url)["cancelled"]
    with connection(echo_server) as connected:
        connected.sendall(ask_for("word " * 30_000, stream=True))
        assert connected.recv(1)
        connected.shutdown(socket.SHUT_WR)
        assert b"[DONE]" not in everything(connected)

    eventually(lambda: queue_stats(echo_server.url)["cancelled"] == cancelled + 1)


def test_a_body_that_is_cut_off_by_a_half_close_is_refused(echo_server: LiveServer) -> None:
    with connection(echo_server) as connected:
        connected.sendall(ask_for("Hello")[:-5])
        connected.shutdown(socket.SHUT_WR)
        assert everything(connected).startswith(b"HTTP/1.1 499 ")


def test_pipelined_requests_are_answered_in_their_order(echo_server: LiveServer) -> None:
    with connection(echo_server) as connected:
        last = ask_for("third", "Connection: close")
        connected.sendall(ask_for("first") + MODELS + ask_for("second", stream=True) + last)
        answers = everything(connected)

    assert answers.count(b"HTTP/1.1 200 ") == 4
    places = [answers.index(part) for part in (b"first", b'"object":"list"', b"second", b"[DONE]", b"third")]
    assert places == sorted(places)
