"""`/metrics`, `/traces`, `/internal/diagnostics`, and bodies and prompts in logs and traces."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

import otel
from otel.testing import CapturedMetrics, capture_metrics, capture_spans
from providers.chat.types import Accepted, GenerationEvent, GenerationRequest
from providers.errors import EngineCrashed
from providers.registry import ModelRegistry
from providers.spec import ModelSpec
from server.app import create_app
from server.middleware.body_logging import MAX_BYTES, Body
from server.settings.settings import Settings
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, ask, make_app, serving

PROTECTED = ("/metrics", "/traces/data", "/internal/diagnostics")


@pytest.fixture
def metrics() -> Iterator[CapturedMetrics]:
    with capture_metrics() as captured:
        yield captured


def echo(**settings: Any) -> Any:
    models = (ModelSpec(name="echo", path="", model_type="echo"),)
    return create_app(Settings(models=models, grace_period=0.05, **settings), ModelRegistry(models))


async def test_the_metrics_page_counts_what_matched_and_what_did_not(metrics: CapturedMetrics) -> None:
    app = make_app()
    for method, path in (("POST", "/v1/chat/completions"), ("GET", "/nope"), ("DELETE", "/v1/models")):
        await ask(app, method, path, json=BODY)

    page = await ask(app, "GET", "/metrics")

    assert page.headers["content-type"].startswith("text/plain; version=")
    for code in ("200", "404", "405"):
        count = "http_server_request_duration_seconds_count"
        assert metrics.value(count, http_response_status_code=code) >= 1
        assert f'http_response_status_code="{code}"'.encode() in page.body


@pytest.mark.parametrize("path", PROTECTED)
async def test_pages_about_other_requests_need_the_key(path: str) -> None:
    app = make_app(api_key="secret")
    assert (await ask(app, "GET", path)).status == 401
    assert (await ask(app, "GET", path, headers={"authorization": "Bearer secret"})).status == 200


async def test_the_page_needs_no_key_holds_no_data_and_loads_nothing() -> None:
    page = await ask(make_app(api_key="secret"), "GET", "/traces")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for outside in (b"src=", b"@import", b"url(", b"<link"):
        assert outside not in page.body


async def test_the_page_s_data_has_the_state_of_the_models(metrics: CapturedMetrics) -> None:
    async with serving(echo()) as app:
        await ask(app, json=BODY)
        data = (await ask(app, "GET", "/traces/data?since=0")).json
    (model,) = data["models"]
    assert (model["model"], model["pending"], model["active"]) == ("echo", 0, 0)
    assert model["tokens"] == {"prompt": 1, "cached": 0, "generated": 1}
    assert (await ask(make_app(), "GET", "/traces/data?since=x")).status == 400


async def test_diagnostics_name_versions_models_and_the_last_errors(metrics: CapturedMetrics) -> None:
    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        raise EngineCrashed("died over a secret prompt")

    app = make_app(FakeChat(script=script))
    await ask(app, json={**BODY, "stream": True}, headers={"x-request-id": "first"})
    await ask(app, json=BODY, headers={"x-request-id": "second"})
    await ask(app, json={}, headers={"x-request-id": "the client's own fault"})

    found = (await ask(app, "GET", "/internal/diagnostics")).json

    assert {"python", "mlx", "litestar", "mlx-openai-server-lab"} <= set(found["versions"])
    assert [(error["request_id"], error["code"]) for error in found["errors"]] == [
        ("second", "engine_crashed"),
        ("first", "engine_crashed"),
    ]
    (model,) = found["models"]
    assert (model["id"], model["status"]) == ("org/fake", "ready")
    assert "secret prompt" not in json.dumps(found)


async def test_the_log_line_has_model_tokens_times_and_sizes() -> None:
    with capture_logs() as logs:
        async with serving(echo()) as app:
            answer = await ask(app, json={**BODY, "messages": [{"role": "user", "content": "one two three"}]})

    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert line["model"] == "echo"
    assert (line["input_tokens"], line["output_tokens"]) == (3, 3)
    assert 0 <= line["ttft"] <= line["duration"]
    assert line["response_bytes"] == len(answer.body)
    assert line["request_bytes"] > 0


@pytest.mark.parametrize("stream", [True, False])
async def test_prompts_are_in_traces_and_logs_only_with_the_option(stream: bool) -> None:
    body = {**BODY, "stream": stream, "messages": [{"role": "user", "content": "xyzzy plugh"}]}
    recorded: dict[bool, str] = {}
    for content in (False, True):
        with capture_logs() as logs, capture_spans(content=content) as spans, capture_metrics() as metrics:
            async with serving(echo()) as app:
                await ask(app, json=body)
            recorded[content] = spans_text = repr([(span.name, span.attributes, span.events) for span in spans.all()])
            assert "xyzzy" not in repr(logs)
            assert "xyzzy" not in metrics.page()
            assert len(spans_text) > 100

    assert "xyzzy" not in recorded[False]
    with capture_spans(content=True) as spans:
        async with serving(echo()) as app:
            await ask(app, json=body)
    attributes = dict(spans.one("chat echo").attributes or {})
    assert json.loads(str(attributes["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": "xyzzy plugh"}]}
    ]
    assert json.loads(str(attributes["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "xyzzy plugh"}], "finish_reason": "stop"}
    ]


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        (
            "/v1/completions",
            {"model": "any", "prompt": "xyzzy plugh"},
            [{"role": "user", "parts": [{"type": "text", "content": "xyzzy plugh"}]}],
        ),
        (
            "/v1/responses",
            {"model": "any", "input": "xyzzy plugh", "instructions": "Be kind."},
            [
                {"role": "system", "parts": [{"type": "text", "content": "Be kind."}]},
                {"role": "user", "parts": [{"type": "text", "content": "xyzzy plugh"}]},
            ],
        ),
    ],
)
async def test_contents_of_every_text_endpoint_are_recorded_alike(
    path: str, body: dict[str, Any], asked: list[dict[str, Any]]
) -> None:
    with capture_spans(content=True) as spans:
        async with serving(echo()) as app:
            answer = await ask(app, "POST", path, json=body)
    assert answer.status == 200, answer.body
    attributes = dict(spans.one("chat echo").attributes or {})
    assert json.loads(str(attributes["gen_ai.input.messages"])) == asked
    (said,) = json.loads(str(attributes["gen_ai.output.messages"]))
    assert (said["role"], said["parts"]) == ("assistant", [{"type": "text", "content": "xyzzy plugh"}])


async def test_speech_is_never_recorded() -> None:
    """The conventions have no names for it; the option's help states this."""
    with capture_spans(content=True) as spans:
        async with serving(echo()) as app:
            body = {"model": "any", "input": "xyzzy plugh", "voice": "alloy"}
            assert (await ask(app, "POST", "/v1/audio/speech", json=body)).status == 200
    assert spans.one("speech echo")
    assert "xyzzy" not in repr([(span.name, span.attributes, span.events) for span in spans.all()])


@pytest.mark.parametrize("wanted", [True, False])
async def test_bodies_are_logged_only_with_the_option(wanted: bool) -> None:
    secret = "sk-abcdefghijklmnop"
    with capture_logs() as logs:
        async with serving(echo(log_bodies=wanted)) as app:
            text = f"my key is {secret}"
            await ask(app, json={**BODY, "messages": [{"role": "user", "content": text}], "api_key": "hush"})

    lines = [entry for entry in logs if entry["event"] == "bodies"]
    assert len(lines) == wanted
    assert secret not in repr(logs)
    if wanted:
        assert "my key is [redacted]" in lines[0]["request"]
        assert "hush" not in lines[0]["request"]
        assert "chat.completion" in lines[0]["response"]


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b'{"password":"p","a":[{"access_token":"t"}]}', "application/json", "p"),
        (b'data: {"x":"Bearer abcdefghijk"}\n\n', "text/event-stream", "abcdefghijk"),
        (b'{"api_key":"cut off in the mid', "application/json", "cut off"),
        (b"\x89PNG", "image/png", "PNG"),
    ],
)
def test_secrets_in_a_body_are_redacted(content: bytes, kind: str, expected: str) -> None:
    body = Body()
    body.add(content)
    assert expected not in body.text(kind).replace("password", "")


def test_a_long_body_is_truncated_and_its_size_is_kept() -> None:
    body = Body()
    for _ in range(10):
        body.add(b"x" * MAX_BYTES)
    assert body.size == 10 * MAX_BYTES
    assert len(body.text("text/plain")) < MAX_BYTES + 100


def test_a_model_is_forgotten_with_its_provider(metrics: CapturedMetrics) -> None:
    registry = ModelRegistry((ModelSpec(name="gone", path="", model_type="echo"),))
    assert [reading.model for reading in otel.readings()] == ["gone"]
    del registry
    assert list(otel.readings()) == []
