"""Loads whose requests several processes send."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from server.cli.bench.client import Workload
from server.cli.bench.suite.client_processes import ClientProcesses

PIECE = {"choices": [{"delta": {"content": "word"}, "finish_reason": None}]}
END = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    asked: list[str]


class _Answer(BaseHTTPRequestHandler):
    """Streams one word, and notes the prompt."""

    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body["messages"][0]["content"])
        events = "".join(f"data: {json.dumps(event)}\n\n" for event in (PIECE, END)) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(events.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Answer)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("cores", "processes"), [(2, 0), (8, 2)])
def test_every_request_of_a_load_is_sent_once(
    server: _Server, monkeypatch: pytest.MonkeyPatch, cores: int, processes: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    url, before = f"http://127.0.0.1:{server.server_port}/v1", set(psutil.Process().children())
    with ClientProcesses(40) as clients:
        own = [child for child in psutil.Process().children() if child not in before]
        assert sum("spawn_main" in " ".join(child.cmdline()) for child in own) == processes
        for streams in (1, 40):
            prompts = tuple(f"prompt {number}" for number in range(streams))
            result = clients.load(url, Workload(model="m", prompts=prompts, max_tokens=4), streams)
            assert (result.requests, result.errors, result.tokens) == (streams, 0, streams)
            assert sorted(server.asked) == sorted(prompts)
            assert 0 <= result.first_token_p50 <= result.seconds
            server.asked.clear()
    assert not any(child.is_running() and "spawn_main" in " ".join(child.cmdline()) for child in own)
