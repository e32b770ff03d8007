"""Clients that dribble, stay silent or leave connections open: others are answered as fast as without them."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.live.client import PATIENCE, ask, chat, eventually, queue_stats
from tests.live.harness import LiveServer
from tests.live.slow_clients import Clients, Fault, dribbling, head, idle, raise_descriptors, silent

Launch = Callable[..., LiveServer]
SAMPLES = 20
FACTOR = 10
"""Between the times of a request with and without the connections. One that finds no place takes seconds."""
NOISE = 0.5
"""Seconds that a busy machine adds to the median of a request that takes 2 ms."""


@pytest.mark.parametrize(
    ("fault", "count"), [(dribbling, 200), (silent, 1_030), (idle, 1_030)], ids=["dribbling", "silent", "idle"]
)
async def test_connections_that_wait_take_no_place_of_a_request(
    echo_server: LiveServer, fault: Fault, count: int
) -> None:
    raise_descriptors(4_096)
    clients = Clients(echo_server.url)
    quiet = await median(clients.normal)

    async with clients.holding(fault, count):
        beside = await median(clients.normal)
        probe = await median(clients.probe)

    assert beside < FACTOR * quiet + NOISE, "the server accepted no further connection after 1,024"
    assert probe < FACTOR * quiet + NOISE


async def test_a_body_that_dribbles_is_refused_and_its_connection_closed(launch: Launch) -> None:
    server = launch("--model-type", "echo", "--body-timeout", "2")
    clients = Clients(server.url)

    async with clients.holding(dribbling, 3) as held:
        async with asyncio.timeout(PATIENCE):
            answers = [await reader.read() for reader, _ in held]

    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_timeout"' in answer
        assert b"--body-timeout" in answer
        assert b"\r\nconnection: close\r\n" in answer


async def test_a_server_ends_without_waiting_for_a_body(launch: Launch) -> None:
    # A whole second: pieces arrive in the moment in which the server stops to wait for them.
    server = launch("--model-type", "echo", "--grace-period", "1")

    async with Clients(server.url).holding(dribbling, 50):
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(server.stop) == 0


def test_the_server_raises_the_limit_of_descriptors(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(*arguments: Any, **options: Any) -> Any:
        return popen(["bash", "-c", 'ulimit -Sn 256; exec "$@"', "-", *arguments[0]], **options)

    popen = psutil.subprocess.Popen
    monkeypatch.setattr("tests.live.harness.subprocess.Popen", limited)
    server = launch("--model-type", "echo", "--max-connections", "1000")

    assert server.worker().rlimit(psutil.RLIMIT_NOFILE)[0] >= 2_000


async def median(measure: Callable[[], Any]) -> float:
    """The least median of three rounds: the machine may be busy."""
    rounds = [statistics.median([await measure() for _ in range(SAMPLES)]) for _ in range(3)]
    return min(rounds)


async def test_probes_are_answered_while_the_queue_is_full_and_bodies_hang(launch: Launch) -> None:
    server = launch("--model-type", "echo", "--model-path", "delay=0.1", "--max-concurrency", "1", "--queue-size", "0")
    clients = Clients(server.url)
    quiet = await median(clients.probe)
    body = json.dumps(chat("word " * 1_000, stream=True)).encode()
    busy = Fault(head("POST", "/v1/chat/completions", len(body)) + body)
    large = head("POST", "/v1/chat/completions", 1_000_000, "Connection: close")

    async with clients.holding(busy, 1) as ((reader, _),):
        await reader.readuntil(b"word")
        async with clients.holding(dribbling, 200):
            assert await median(clients.probe) < FACTOR * quiet + NOISE
            assert (await clients.exchange(head("GET", "/metrics", 0, "Connection: close")))[0] == 200
            assert (await clients.exchange(large))[0] == 429, "the body was not sent"


def test_an_unread_stream_gives_its_place_to_the_next_request(launch: Launch) -> None:
    server = launch("--model-type", "echo", "--max-concurrency", "1", "--context-length", "10000000")
    body = json.dumps(chat("word " * 80_000, stream=True)).encode()
    address = urlsplit(server.url)

    with socket.create_connection((address.hostname, address.port)) as unread:
        unread.sendall(head("POST", "/v1/chat/completions", len(body)) + body)
        eventually(lambda: queue_stats(server.url)["active"] == 1)
        answer = ask(server.url, chat("Hello"), timeout=30)

    assert answer.status_code == 200, "10 MB of events: more than the system keeps for a client that does not read"


def test_a_stream_that_is_not_read_is_cancelled(launch: Launch) -> None:
    server = launch("--model-type", "echo", "--context-length", "10000000", "--write-timeout", "2")
    body = json.dumps(chat("word " * 1_000_000, stream=True)).encode()
    address = urlsplit(server.url)

    with socket.create_connection((address.hostname, address.port)) as unread:
        unread.sendall(head("POST", "/v1/chat/completions", len(body)) + body)
        eventually(lambda: queue_stats(server.url)["active"] == 1)
        eventually(lambda: queue_stats(server.url)["cancelled"] == 1)
