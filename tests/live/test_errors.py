"""The error table over real HTTP: status, type, code, param and request ID of every error."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live.broken_service import SECRET
from tests.live.client import PATIENCE, ask, assert_error, chat, eventually, queue_stats, stream
from tests.live.harness import LISTENING, READY, LiveServer, Log, clean_environment, start

Launch = Callable[..., LiveServer]

KEY = {"authorization": "Bearer s3cret"}
SLOWLY = {"chat_template_kwargs": {"echo_delay": 0.05}}
LONG = "word " * 2000
"""At SLOWLY's speed this takes longer than any test waits."""


@pytest.fixture(scope="module")
def strict() -> Generator[LiveServer]:
    """The echo model with a key, one place, two waiting requests at most, two seconds of waiting, and small bodies."""
    limits = ("--max-concurrency", "1", "--queue-size", "2", "--queue-timeout", "2", "--max-body-size", "100KB")
    running = start("--model-type", "echo", "--api-key", "s3cret", *limits)
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


# ── invalid requests ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
def test_a_bad_value_is_a_400_with_its_path(echo_server: LiveServer, change: dict[str, Any], param: str) -> None:
    message = assert_error(ask(echo_server.url, {**chat("x"), **change}), 400, "invalid_request_error", param=param)

    assert param in message


@pytest.mark.parametrize("content", [b"", b"{", b'{"model": "\xff"}', b"[1]", b"null", b"[" * 100_000])
def test_a_body_that_is_not_a_json_object_is_a_400(echo_server: LiveServer, content: bytes) -> None:
    headers = {"content-type": "application/json"}

    assert_error(ask(echo_server.url, content=content, headers=headers), 400, "invalid_request_error")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_prompt_over_the_context_is_a_400_with_the_counts(server: LiveServer, streamed: bool) -> None:
    answer = ask(server.url, chat("word " * 9000, stream=streamed))

    message = assert_error(answer, 400, "context_length_exceeded", param="messages")
    assert "8192" in message
    assert "90" in message  # nine thousand words and the template's few tokens


@pytest.mark.parametrize("bound", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_beyond_the_context_is_clamped(server: LiveServer, bound: str) -> None:
    answer = ask(server.url, chat("Hi", stop=["e"], **{bound: 200_000}))

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audio", {}),
        ("prediction", {}),
        ("web_search_options", {}),
        ("service_tier", "flex"),
        ("modalities", ["audio"]),
    ],
)
def test_an_unsupported_parameter_is_refused_by_name(echo_server: LiveServer, name: str, value: Any) -> None:
    message = assert_error(ask(echo_server.url, chat("x", **{name: value})), 400, "unsupported_parameter", param=name)

    assert name in message


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer wrong", "Basic s3cret", "Bearer s3cret\xff"])
def test_without_the_key_every_request_is_a_401(strict: LiveServer, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given.encode("latin-1")}

    for answer in (
        ask(strict.url, chat("x"), headers=headers),
        ask(strict.url, chat("x", stream=True), headers=headers),
        ask(strict.url, method="GET", path="/v1/models", headers=headers),
    ):
        message = assert_error(answer, 401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "s3cret" not in message


def test_with_the_key_requests_are_answered(strict: LiveServer) -> None:
    assert ask(strict.url, chat("x"), headers=KEY).status_code == 200
    assert ask(strict.url, method="GET", path="/health").status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/chat/completions/x", "/v1/chat"])
def test_an_unknown_path_is_a_404(echo_server: LiveServer, path: str) -> None:
    assert path in assert_error(ask(echo_server.url, {}, path=path), 404, "not_found")


def test_an_unknown_model_is_a_404_that_lists_the_known_models(echo_server: LiveServer) -> None:
    answer = ask(echo_server.url, method="GET", path="/v1/models/nobody/has-this")

    message = assert_error(answer, 404, "model_not_found", param="model")
    assert "nobody/has-this" in message
    assert "echo" in message


def test_a_wrong_method_is_a_405_with_the_allowed_ones(echo_server: LiveServer) -> None:
    wrong = ask(echo_server.url, method="GET")
    assert_error(wrong, 405, "method_not_allowed")
    assert "POST" in wrong.headers["allow"]

    wrong = ask(echo_server.url, {}, path="/v1/models")
    assert_error(wrong, 405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]


def test_a_body_too_large_is_a_413(strict: LiveServer) -> None:
    assert_error(ask(strict.url, chat("x" * 200_000), headers=KEY), 413, "request_too_large")

    pieces = (
        b"x" * 10_000 for _ in range(20)
    )  # without a Content-Length, the server learns the size only while it reads
    headers = {**KEY, "content-type": "application/json"}
    assert_error(ask(strict.url, content=pieces, headers=headers), 413, "request_too_large")


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data", "application/json; charset=utf-16"])
def test_another_content_type_is_a_415(echo_server: LiveServer, content_type: str) -> None:
    answer = ask(echo_server.url, content=json.dumps(chat("x")), headers={"content-type": content_type})

    assert_error(answer, 415, "unsupported_media_type")


def test_errors_carry_the_client_s_own_request_id(echo_server: LiveServer, strict: LiveServer) -> None:
    headers = {"x-request-id": "turn-7"}

    for answer in (
        ask(echo_server.url, {}, headers=headers),
        ask(echo_server.url, method="GET", headers=headers),
        ask(echo_server.url, method="GET", path="/nowhere", headers=headers),
        ask(strict.url, chat("x"), headers=headers),
    ):
        assert answer.status_code >= 400
        assert answer.headers["x-request-id"] == "turn-7"


# ── full queues and timeouts ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def crowd(server: LiveServer) -> Iterator[list[Future[Any]]]:
    """Fill the server: one running answer, and two waiting requests, one streamed and one not. Yields their futures."""
    with ThreadPoolExecutor() as pool, stream(server.url, chat(LONG, **SLOWLY), headers=KEY) as answer:
        answer.first_piece()
        waiting = [pool.submit(ask, server.url, chat("x", stream=streamed), headers=KEY) for streamed in (True, False)]
        eventually(lambda: queue_stats_of(server)["pending"] == 2)
        yield waiting


def queue_stats_of(server: LiveServer) -> dict[str, Any]:
    stats = ask(server.url, method="GET", path="/v1/queue/stats", headers=KEY).json()
    total: dict[str, Any] = stats["total"]
    return total


def test_a_full_queue_is_a_429_before_any_byte_of_a_stream(strict: LiveServer) -> None:
    with crowd(strict):
        for streamed in (True, False):
            answer = ask(strict.url, chat("x", stream=streamed), headers=KEY)
            assert_error(answer, 429, "queue_full", type="rate_limit_error")


def test_waiting_too_long_is_a_503(strict: LiveServer) -> None:
    with crowd(strict) as waiting:
        for answer in waiting:
            assert "2 seconds" in assert_error(answer.result(PATIENCE), 503, "queue_timeout", type="server_error")

    eventually(lambda: queue_stats_of(strict)["active"] == 0)
    assert ask(strict.url, chat("x"), headers=KEY).status_code == 200


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_over_its_timeout_is_a_504(echo_server: LiveServer, streamed: bool) -> None:
    slow = {"timeout": 0.2, "chat_template_kwargs": {"echo_prefill": 30}}

    assert_error(ask(echo_server.url, chat("x", stream=streamed, **slow)), 504, "timeout", type="server_error")


def test_a_stream_over_its_timeout_ends_with_an_error_event(echo_server: LiveServer) -> None:
    with stream(echo_server.url, chat(LONG, timeout=0.5, **SLOWLY)) as answer:
        list(answer)

    assert answer.failure["code"] == "timeout"
    assert answer.text.startswith("word ")


@pytest.mark.parametrize("streamed", [False, True])
def test_the_real_model_s_timeout_is_a_504_or_an_error_event(server: LiveServer, streamed: bool) -> None:
    body = chat("Count from one to a thousand.", timeout=1, temperature=0, max_tokens=4000)
    if streamed:
        with stream(server.url, body) as answer:
            if answer.response.status_code == 504:  # a second was too short for the first token
                assert_error(answer.response, 504, "timeout", type="server_error")
            else:
                list(answer)
                assert answer.failure["code"] == "timeout"
    else:
        assert_error(ask(server.url, body), 504, "timeout", type="server_error")

    eventually(lambda: queue_stats(server.url)["active"] == 0)


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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("granian")),
            *("--interface", "asgi", "--factory", "tests.live.broken_service:create_app", "--port", str(port)),
        ],
        env=clean_environment(PYTHONPATH=str(Path(__file__).parents[2])),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    log = Log(process)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(url + "/health", timeout=PATIENCE).status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(answers, every=0.1)
        yield url, log
    finally:
        process.terminate()
        process.wait(PATIENCE)


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
