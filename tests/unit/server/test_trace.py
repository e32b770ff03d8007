"""The server span of a request: its name, its parent, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import otel
from otel.testing import CapturedSpans, capture_spans
from providers.chat.types import Accepted, GenerationEvent, GenerationRequest
from providers.echo.provider import EchoProvider
from providers.errors import EngineCrashed
from providers.spec import ModelSpec
from tests.unit.server.fakes import FINISHED, FakeChat
from tests.unit.server.harness import BODY, WAIT, ask, make_app, start

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CHAT = "POST /v1/chat/completions"


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture_spans() as captured:
        yield captured


@pytest.mark.parametrize("stream", [True, False])
async def test_the_generation_runs_in_the_request_s_trace(spans: CapturedSpans, stream: bool) -> None:
    seen: list[tuple[str | None, str]] = []

    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        context = trace.get_current_span().get_span_context()
        seen.append((otel.request_id.get(), trace.format_trace_id(context.trace_id)))
        yield Accepted(1, 0)
        yield FINISHED

    headers = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "x-request-id": "abc"}
    await ask(make_app(FakeChat(script=script)), json={**BODY, "stream": stream}, headers=headers)

    assert seen == [("abc", TRACE_ID)]
    span = spans.one(CHAT)
    assert span.kind is SpanKind.SERVER
    attributes = dict(span.attributes or {})
    assert attributes["http.route"] == "/v1/chat/completions"
    assert attributes["http.response.status_code"] == 200
    assert attributes["request.id"] == "abc"


async def test_a_route_with_a_parameter_names_the_span_by_its_template(spans: CapturedSpans) -> None:
    await ask(make_app(), "GET", "/v1/models/org/fake")
    assert dict(spans.one("GET /v1/models/{model_id}").attributes or {})["url.path"] == "/v1/models/org/fake"


async def test_an_unknown_path_has_no_route(spans: CapturedSpans) -> None:
    await ask(make_app(), "GET", "/wp-login.php")
    assert dict(spans.one("GET").attributes or {})["http.response.status_code"] == 404


async def test_a_refusal_names_its_code_and_is_no_error(spans: CapturedSpans) -> None:
    await ask(make_app(), json={**BODY, "modalities": ["audio"]})
    span = spans.one(CHAT)
    assert dict(span.attributes or {})["error.type"] == "unsupported_parameter"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_stream_that_breaks_off_is_an_error_despite_its_200(spans: CapturedSpans) -> None:
    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        raise EngineCrashed("died")

    await ask(make_app(FakeChat(script=script)), json={**BODY, "stream": True})

    span = spans.one(CHAT)
    attributes = dict(span.attributes or {})
    assert (attributes["http.response.status_code"], attributes["error.type"]) == (200, "engine_crashed")
    assert span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("stream", [True, False])
async def test_a_disconnect_is_a_cancellation_and_no_error(spans: CapturedSpans, stream: bool) -> None:
    async def script(_: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield Accepted(1, 0)
        await asyncio.Future()

    chat = FakeChat(script=script)
    exchange = start(make_app(chat), json={**BODY, "stream": stream})
    await asyncio.wait_for(chat.started.wait(), WAIT)
    exchange.disconnect()
    await exchange.finished()

    span = spans.one(CHAT)
    assert any("cancel" in key and value is True for key, value in (span.attributes or {}).items())
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", BODY),
        ("/v1/completions", {"model": "any", "prompt": "Hi"}),
        ("/v1/responses", {"model": "any", "input": "Hi"}),
        ("/v1/messages", {**BODY, "max_tokens": 9}),
    ],
)
async def test_a_stream_is_recorded_with_the_time_to_its_first_chunk(
    spans: CapturedSpans, path: str, body: dict[str, object], stream: bool
) -> None:
    chat = EchoProvider(ModelSpec(name="echo", path="", model_type="echo"))
    await chat.start()
    await ask(make_app(chat), path=path, json={**body, "stream": stream})

    attributes = dict(spans.one("chat echo").attributes or {})
    assert attributes.get("gen_ai.request.stream") == (True if stream else None)
    assert ("gen_ai.response.time_to_first_chunk" in attributes) is stream
