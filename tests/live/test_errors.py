"""The error table over real HTTP: status, type, code, param and request ID of every error."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.live.client import PATIENCE, ask, assert_error, chat, eventually, queue_stats, stream
from tests.live.harness import LiveServer, start

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
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
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
        ("prediction", {"type": "content", "content": "x"}),
        ("web_search_options", {}),
        ("service_tier", "flex"),
        ("stream_options", {"include_usage": True}),
        ("some_new_field", 1),
    ],
)
def test_a_hint_has_no_effect_and_is_named_in_a_header(echo_server: LiveServer, name: str, value: Any) -> None:
    answer = ask(echo_server.url, chat("x", **{name: value}))

    assert answer.json()["choices"][0]["message"]["content"] == "x"
    assert answer.headers["x-ignored-parameters"] == name


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
    never_ends = {"0": -100, "2": -100}
    body = chat("Count from one to a thousand.", timeout=1, temperature=0, max_tokens=4000, logit_bias=never_ends)
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
