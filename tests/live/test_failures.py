"""Errors of a server whose engines load or die, that shuts down, or that has a bug: statuses and error events."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.live.broken_service import SECRET
from tests.live.client import PATIENCE, ask, assert_error, chat, eventually, queue_stats, stream
from tests.live.granian_service import serving
from tests.live.harness import LISTENING, READY, LiveServer, Log, start

Launch = Callable[..., LiveServer]


# ── engines that load, die and restart ──────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """The embedded model and the echo model in one server, which listens and may still load."""
    config = tmp_path_factory.mktemp("pair") / "models.yaml"
    config.write_text("models:\n  - {model_type: echo}\n  - {served_model_name: real, mlx_warmup: false}\n")
    running = start("--config", str(config), until=LISTENING)
    yield running
    assert running.stop() == 0


def real(text: str, **parameters: Any) -> dict[str, Any]:
    return {**chat(text, temperature=0, **parameters), "model": "real"}


def echo(text: str, **parameters: Any) -> dict[str, Any]:
    return {**chat(text, **parameters), "model": "echo"}


def ready(server: LiveServer) -> bool:
    return bool(ask(server.url, method="GET", path="/v1/health/ready").status_code == 200)


def test_while_a_model_loads_its_requests_get_503_and_other_models_answer(pair: LiveServer) -> None:
    for streamed in (False, True):
        answer = ask(pair.url, real("x", stream=streamed))
        assert "loading" in assert_error(answer, 503, "model_not_ready", type="server_error")
    for path in ("/health", "/v1/health/ready"):
        health = ask(pair.url, method="GET", path=path)
        assert health.status_code == 503
        assert health.json()["models"] == {"echo": "ready", "real": "loading"}
    assert ask(pair.url, echo("still here")).status_code == 200


def test_with_several_models_a_request_must_name_one(pair: LiveServer) -> None:
    message = assert_error(ask(pair.url, chat("x")), 404, "model_not_found", param="model")

    assert "echo" in message
    assert "real" in message


def test_a_dead_engine_is_a_503_or_an_error_event_and_restarts(pair: LiveServer) -> None:
    pair.log.wait_for(READY, 120)
    slow_echo = echo("word " * 100, chat_template_kwargs={"echo_delay": 0.01})
    with (
        ThreadPoolExecutor() as pool,
        stream(pair.url, slow_echo) as elsewhere,
        stream(pair.url, real("Count from one to a thousand.", max_tokens=4000)) as streamed,
    ):
        whole = pool.submit(ask, pair.url, real("Count from one to a hundred.", max_tokens=4000))
        streamed.first_piece()
        elsewhere.first_piece()
        eventually(lambda: queue_stats(pair.url, "real")["active"] == 2)

        pair.engine().kill()

        list(streamed)
        assert streamed.failure["code"] == "engine_crashed"
        assert_error(whole.result(PATIENCE), 503, "engine_crashed", type="server_error")
        for restarting in (ask(pair.url, real("x")), ask(pair.url, real("x", stream=True))):
            assert_error(restarting, 503, "model_not_ready", type="server_error")
        list(elsewhere)
        assert (elsewhere.text, elsewhere.finish_reasons, elsewhere.done) == ("word " * 100, ["stop"], True)

    assert queue_stats(pair.url, "real")["active"] == 0
    eventually(lambda: ready(pair), 120, every=0.2)
    answer = ask(pair.url, real("What is the capital of France?"))
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]


# ── shutdown, and unforeseen errors ─────────────────────────────────────────────────────────────────────────────


@contextmanager
def half_sent(url: str, body: dict[str, Any]) -> Iterator[Callable[[], str]]:
    """Send a request without the end of its body. Yields a function that sends the rest and reads the response."""
    content = json.dumps(body).encode()
    host, _, port = url.removeprefix("http://").rpartition(":")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(f"{head}Connection: close\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content[:10])

        def send_the_rest() -> str:
            connection.sendall(content[10:])
            return connection.makefile("rb").read().decode()

        yield send_the_rest


def test_a_server_that_shuts_down_refuses_new_and_waiting_requests(launch: Launch) -> None:
    server = launch("--model-type", "echo", "--max-concurrency", "1")
    with (
        ThreadPoolExecutor() as pool,
        half_sent(server.url, chat("x")) as send_the_rest,
        stream(server.url, chat("word " * 60, chat_template_kwargs={"echo_delay": 0.05})) as answer,
    ):
        answer.first_piece()
        waiting = [pool.submit(ask, server.url, chat("x", stream=streamed)) for streamed in (True, False)]
        eventually(lambda: queue_stats(server.url)["pending"] == 2)

        server.process.send_signal(signal.SIGTERM)

        for refused in waiting:
            assert_error(refused.result(PATIENCE), 503, "model_not_ready", type="server_error")
        head, _, body = send_the_rest().partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 503")
        assert json.loads(body)["error"]["code"] == "model_not_ready"
        list(answer)
        assert (answer.text, answer.finish_reasons, answer.done) == ("word " * 60, ["stop"], True)
    assert server.process.wait(PATIENCE) == 0


@pytest.fixture(scope="module")
def broken() -> Generator[tuple[str, Log]]:
    """URL and log of a real server whose provider has a bug."""
    with serving("tests.live.broken_service:create_app") as (url, log):
        yield url, log


@pytest.mark.parametrize("streamed", [False, True])
def test_an_unforeseen_error_is_a_500_with_details_only_in_the_log(broken: tuple[str, Log], streamed: bool) -> None:
    url, log = broken
    headers = {"x-request-id": f"unforeseen-{streamed}"}

    answer = ask(url, chat("one two", stream=streamed), headers=headers)

    assert_error(answer, 500, "internal_error", type="server_error")
    assert SECRET not in answer.text
    assert "ZeroDivisionError" not in answer.text
    log.wait_for(rf"unforeseen error.*request_id={headers['x-request-id']}")
    log.wait_for(f"ZeroDivisionError: {SECRET}")


def test_an_unforeseen_error_in_a_stream_is_an_error_event(broken: tuple[str, Log]) -> None:
    with stream(broken[0], chat("one two three", max_tokens=2)) as answer:
        list(answer)

    assert answer.failure["code"] == "internal_error"
    assert SECRET not in answer.failure["message"]
    assert answer.text
