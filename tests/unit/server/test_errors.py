"""The error table: the response to each failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import attrs
import pytest
from litestar import Litestar
from structlog.testing import capture_logs

from contracts.chat.request import ChatCompletionRequest
from providers import errors
from providers.chat.types import GenerationEvent, GenerationRequest
from server.errors import error_response, status_of
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, WAIT, ask, make_app, start

STATUSES = [
    (errors.ServiceError, 500, "internal_error"),
    (errors.InvalidRequest, 400, "invalid_request_error"),
    (errors.ContextLengthExceeded, 400, "context_length_exceeded"),
    (errors.UnsupportedParameter, 400, "unsupported_parameter"),
    (errors.InvalidApiKey, 401, "invalid_api_key"),
    (errors.HostNotAllowed, 403, "host_not_allowed"),
    (errors.NotFound, 404, "not_found"),
    (errors.ModelNotFound, 404, "model_not_found"),
    (errors.PreviousResponseNotFound, 404, "previous_response_not_found"),
    (errors.ExtraNotInstalled, 501, "extra_not_installed"),
    (errors.QueueFull, 429, "queue_full"),
    (errors.QueueTimeout, 503, "queue_timeout"),
    (errors.ModelNotReady, 503, "model_not_ready"),
    (errors.EngineCrashed, 503, "engine_crashed"),
    (errors.OutOfMemory, 503, "out_of_memory"),
    (errors.SourceUnreachable, 502, "source_unreachable"),
    (errors.PromptDoesNotFit, 507, "prompt_does_not_fit"),
    (errors.RateLimitExceeded, 429, "rate_limit_exceeded"),
    (errors.GenerationTimeout, 504, "timeout"),
    (errors.StorageFailed, 507, "storage_failed"),
    (errors.DoesNotFit, 507, "model_does_not_fit"),
    (errors.InternalError, 500, "internal_error"),
]


@pytest.mark.parametrize(("error", "status", "code"), STATUSES)
async def test_every_error_has_its_status_and_code(error: type[errors.ServiceError], status: int, code: str) -> None:
    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        raise error("what happened", param="messages")
        yield

    answer = await ask(make_app(FakeChat(script=script)), json=BODY)

    assert status_of(error("x")) == answer.status == status
    assert answer.error == {"message": "what happened", "type": error.type, "param": "messages", "code": code}
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    assert answer.headers["x-request-id"]


def test_no_error_of_the_tree_is_left_out() -> None:
    def tree(root: type[errors.ServiceError]) -> set[type[errors.ServiceError]]:
        return {root}.union(*(tree(child) for child in root.__subclasses__()))

    known = {error for error in tree(errors.ServiceError) if error.__module__ == "providers.errors"}
    assert known == {error for error, _, _ in STATUSES}


@pytest.mark.parametrize(("seconds", "header"), [(None, "1"), (0.2, "1"), (1.5, "2"), (30.0, "30")])
def test_retry_after_is_in_whole_seconds(seconds: float | None, header: str) -> None:
    response = error_response(errors.ModelNotReady("loading", retry_after=seconds))
    assert response.headers["retry-after"] == header


async def test_an_unforeseen_error_reveals_nothing_and_logs_everything() -> None:
    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        raise ZeroDivisionError("the secret of the house")
        yield

    with capture_logs() as logs:
        answer = await ask(make_app(FakeChat(script=script)), json=BODY)

    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert "secret" not in answer.body.decode()
    assert any(isinstance(entry.get("exc_info"), ZeroDivisionError) for entry in logs)


@pytest.fixture(scope="module")
def chat() -> FakeChat:
    """No refused request reaches it."""
    return FakeChat()


@pytest.fixture(scope="module")
def app(chat: FakeChat) -> Litestar:
    return make_app(chat)


async def test_an_error_that_cannot_be_written_is_still_a_500_with_envelope_and_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: errors.ServiceError) -> None:
        raise UnicodeError("the secret of the house")

    monkeypatch.setattr("server.errors.error_response", fail)
    with capture_logs() as logs:
        answer = await ask(make_app(), content=b"{", headers={"x-request-id": "turn-7"})

    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert answer.headers["x-request-id"] == "turn-7"
    assert "secret" not in answer.body.decode()
    assert any(entry.get("status") == 500 for entry in logs)


BAD_BODIES: list[tuple[str, bytes, str | None]] = [
    ("empty", b"", None),
    ("no JSON", b"{", None),
    ("not UTF-8", b'{"model": "\xff"}', None),
    ("an array", b"[]", None),
    ("null", b"null", None),
    ("deep", b"[" * 100_000, None),
    ("deep but closed", b'{"model":"m","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", None),
    ("no messages", b'{"model":"m"}', "messages"),
    ("null messages", b'{"model":"m","messages":null}', "messages"),
    ("no turns", b'{"model":"m","messages":[]}', "messages"),
    ("no role", b'{"model":"m","messages":[{"content":"x"}]}', "messages[0].role"),
    ("bad role", b'{"model":"m","messages":[{"role":"robot","content":"x"}]}', "messages[0].role"),
    ("no content", b'{"model":"m","messages":[{"role":"user"}]}', "messages[0].content"),
    ("number as content", b'{"model":"m","messages":[{"role":"user","content":5}]}', "messages[0].content"),
    (
        "second turn",
        b'{"model":"m","messages":[{"role":"user","content":"x"},{"role":"user","content":[{"type":"text"}]}]}',
        "messages[1].content[0].text",
    ),
    (
        "half a surrogate pair",
        b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
        "messages[0].content",
    ),
    ("half a surrogate pair in a name", b'{"model":"m\\udfff","messages":[{"role":"user","content":"x"}]}', "model"),
    (
        "half a surrogate pair as a key",
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"logit_bias":{"\\ud800":1}}',
        "logit_bias.\\ud800",
    ),
]


@pytest.mark.parametrize(("body", "param"), [case[1:] for case in BAD_BODIES], ids=[case[0] for case in BAD_BODIES])
async def test_a_bad_body_is_a_400_with_a_path(app: Litestar, chat: FakeChat, body: bytes, param: str | None) -> None:
    answer = await ask(app, content=body)

    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    if param is not None:
        assert answer.error["param"] == param
        assert param in answer.error["message"]
    assert chat.requests == []


DEEP = json.loads("[" * 40 + "]" * 40)

BAD_VALUES: list[tuple[str, Any, str]] = [
    ("temperature", 2.1, "temperature"),
    ("temperature", -0.1, "temperature"),
    ("temperature", "1", "temperature"),
    ("temperature", True, "temperature"),
    ("temperature", 10**400, "temperature"),
    ("top_p", 1.1, "top_p"),
    ("top_k", -2, "top_k"),
    ("top_k", 1.5, "top_k"),
    ("min_p", 2, "min_p"),
    ("xtc_probability", -1, "xtc_probability"),
    ("xtc_threshold", 0.6, "xtc_threshold"),
    ("presence_penalty", 2.5, "presence_penalty"),
    ("frequency_penalty", -2.5, "frequency_penalty"),
    ("repetition_penalty", 0, "repetition_penalty"),
    ("repetition_context_size", 0, "repetition_context_size"),
    ("max_tokens", 0, "max_tokens"),
    ("max_tokens", 10.5, "max_tokens"),
    ("max_tokens", "10", "max_tokens"),
    ("max_completion_tokens", -2, "max_completion_tokens"),
    ("seed", 10**80, "seed"),
    ("seed", 1.5, "seed"),
    ("stop", ["x"] * 1000, "stop"),
    ("seed", 2**64, "seed"),
    ("stop", {"a": 1}, "stop"),
    ("timeout", 0, "timeout"),
    ("timeout", -1, "timeout"),
    ("stream", "true", "stream"),
    ("stream_options", {"include_usage": 1}, "stream_options.include_usage"),
    ("logit_bias", {"5": 101}, "logit_bias.5"),
    ("logit_bias", {"five": 1}, "logit_bias.five"),
    ("logit_bias", {"-5": 1}, "logit_bias.-5"),
    ("logit_bias", {"٣": 1}, "logit_bias.٣"),
    ("logit_bias", {"9" * 80: 1}, "logit_bias." + "9" * 64),
    ("logit_bias", [1], "logit_bias"),
    ("chat_template_kwargs", {"a": {"b": 10**30}}, "chat_template_kwargs.a"),
    (
        "chat_template_kwargs",
        {"a": DEEP},
        "chat_template_kwargs.a",
    ),
    ("chat_template_kwargs", "x", "chat_template_kwargs"),
    ("n", 0, "n"),
    ("n", 129, "n"),
    ("stop", ["x" * 1025], "stop[0]"),
    ("top_logprobs", -1, "top_logprobs"),
    ("top_logprobs", 21, "top_logprobs"),
]


@pytest.mark.parametrize(("name", "value", "param"), BAD_VALUES)
async def test_a_bad_value_is_a_400_that_names_it(app: Litestar, name: str, value: Any, param: str) -> None:
    answer = await ask(app, content=json.dumps({**BODY, name: value}).encode())

    assert answer.status == 400
    assert (answer.error["code"], answer.error["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_literal_that_is_no_number_is_a_400(literal: str) -> None:
    body = json.dumps({**BODY, "temperature": "here"}).replace('"here"', literal)
    answer = await ask(make_app(), content=body.encode())
    assert (answer.status, answer.error["param"]) == (400, "temperature")


async def test_two_lengths_that_differ_are_refused() -> None:
    app = make_app()
    assert (await ask(app, json={**BODY, "max_tokens": 5, "max_completion_tokens": 5})).status == 200
    refused = await ask(app, json={**BODY, "max_tokens": 5, "max_completion_tokens": 6})
    assert (refused.status, refused.error["param"]) == (400, "max_completion_tokens")


async def test_null_means_absent_for_every_optional_field() -> None:
    chat = FakeChat()
    app = make_app(chat)
    optional = [field.name for field in attrs.fields(ChatCompletionRequest) if field.default is None]
    turn = {"role": "user", "content": "Hi", "name": None, "tool_calls": None, "refusal": None, "audio": None}

    answer = await ask(app, json={**BODY, "messages": [turn], **dict.fromkeys(optional)})

    assert answer.status == 200
    assert (await ask(app, json=BODY)).status == 200
    with_nulls, without = chat.requests
    assert with_nulls.prompt == without.prompt
    assert with_nulls.sampling == without.sampling
    assert len(optional) > 30


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/schema/nothing"])
async def test_an_unknown_path_is_a_404(path: str) -> None:
    answer = await ask(make_app(), "GET", path)
    assert (answer.status, answer.error["code"]) == (404, "not_found")


async def test_a_wrong_method_is_a_405_that_names_the_right_ones() -> None:
    answer = await ask(make_app(), "GET", "/v1/chat/completions")
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


async def test_a_body_over_the_limit_is_a_413() -> None:
    answer = await ask(make_app(max_body_bytes=100), json={**BODY, "user": "x" * 100})
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-encoding": "gzip"},
    ],
)
async def test_a_body_in_another_form_is_a_415(headers: dict[str, str]) -> None:
    answer = await ask(make_app(), json=BODY, headers=headers)
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", "Application/JSON", "application/x+json"])
async def test_other_names_of_json_are_accepted(content_type: str) -> None:
    assert (await ask(make_app(), json=BODY, headers={"content-type": content_type})).status == 200


async def test_a_disconnect_before_the_body_leaves_no_stack_trace() -> None:
    app = make_app()
    with capture_logs() as logs:
        exchange = start(app, json=BODY)
        exchange._body = None
        exchange.disconnect()
        await exchange.finished()
    assert exchange.status == 499
    assert not any(entry["log_level"] == "error" for entry in logs)
    assert any(entry.get("disconnected") for entry in logs)


async def test_a_good_request_is_served_after_bad_ones() -> None:
    app = make_app()
    for _, body, _ in BAD_BODIES:
        await ask(app, content=body)
    assert (await asyncio.wait_for(ask(app, json=BODY), WAIT)).status == 200
