"""The server span: HTTP attributes, continuation of the caller's trace, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry import baggage, trace
from opentelemetry.trace import SpanKind, StatusCode

import otel
from otel.testing import CapturedSpans

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
PARENT_ID = 0xB7AD6B7169203331
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Refused(Exception):
    code = "queue_full"


@pytest.fixture
def request_id() -> Iterator[str]:
    token = otel.request_id.set("req-1")
    yield "req-1"
    otel.request_id.reset(token)


def test_it_names_method_route_path_and_status(spans: CapturedSpans, request_id: str) -> None:
    span = otel.start_server_span(
        "GET", "/v1/models/qwen", {"user-agent": "curl/8"}, scheme="https", client="127.0.0.1"
    )
    span.route("/v1/models/{id}")
    span.status(200)
    span.end()

    found = spans.one("GET /v1/models/{id}")
    assert found.kind is SpanKind.SERVER
    assert found.status.status_code is StatusCode.UNSET
    assert dict(found.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/v1/models/{id}",
        "http.response.status_code": 200,
        "url.path": "/v1/models/qwen",
        "url.scheme": "https",
        "user_agent.original": "curl/8",
        "client.address": "127.0.0.1",
        "request.id": request_id,
    }


def test_a_path_without_a_route_does_not_name_the_span(spans: CapturedSpans) -> None:
    otel.start_server_span("GET", "/secret/a/b", {}).end()
    assert spans.names() == ["GET"]


def test_an_unknown_method_is_called_other(spans: CapturedSpans) -> None:
    otel.start_server_span("BREW", "/pot", {}).end()

    found = dict(spans.one("HTTP").attributes or {})
    assert found["http.request.method"] == "_OTHER"
    assert found["http.request.method_original"] == "BREW"


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": TRACEPARENT, "tracestate": "a=1,b=2"},
        [
            (b"Traceparent", TRACEPARENT.encode()),
            (b"tracestate", b"a=1"),
            (b"tracestate", b"b=2"),
        ],
    ],
)
def test_the_callers_trace_goes_on(spans: CapturedSpans, headers: otel.Headers) -> None:
    span = otel.start_server_span("POST", "/v1/chat/completions", headers)
    with span.use():
        context = trace.get_current_span().get_span_context()
        assert context.trace_id == TRACE_ID
        assert dict(context.trace_state) == {"a": "1", "b": "2"}
    span.end()

    found = spans.one("POST")
    assert found.parent is not None
    assert found.parent.span_id == PARENT_ID
    assert found.parent.is_remote


def test_baggage_is_not_read(spans: CapturedSpans) -> None:
    headers = {"traceparent": TRACEPARENT, "baggage": ",".join(f"k{index}=v" for index in range(1500))}
    with otel.start_server_span("POST", "/v1/chat/completions", headers).use():
        assert trace.get_current_span().get_span_context().trace_id == TRACE_ID
        assert not baggage.get_all()


@pytest.mark.parametrize(
    "traceparent", ["", "garbage", "00-" + "0" * 32 + "-b7ad6b7169203331-01", TRACEPARENT + "," + TRACEPARENT]
)
def test_a_malformed_traceparent_starts_a_new_trace(spans: CapturedSpans, traceparent: str) -> None:
    otel.start_server_span("GET", "/health", {"traceparent": traceparent}).end()

    found = spans.one("GET")
    assert found.parent is None
    assert found.context is not None
    assert found.context.trace_id not in (0, TRACE_ID)


def test_a_new_request_does_not_inherit_what_was_current(spans: CapturedSpans) -> None:
    with otel.start_server_span("POST", "/a", {}).use():
        otel.start_server_span("GET", "/b", {}).end()
    assert spans.one("GET").parent is None


async def test_tasks_of_the_request_inherit_it_and_neighbours_do_not(spans: CapturedSpans) -> None:
    async def child() -> None:
        otel.start_queue(model="m", request_id="r", depth=0).admitted()

    async def handle(method: str) -> None:
        span = otel.start_server_span(method, "/", {})
        with span.use():
            await asyncio.gather(child(), asyncio.create_task(child()))
        assert not trace.get_current_span().get_span_context().is_valid
        span.end()

    await asyncio.gather(handle("GET"), handle("PUT"))

    owners = {span.context.span_id: span.name for span in spans.all() if span.context and span.name != "queue"}
    found = sorted(owners[span.parent.span_id] for span in spans.all() if span.name == "queue" and span.parent)
    assert found == ["GET", "GET", "PUT", "PUT"]


def test_the_span_is_current_only_inside_even_after_an_error(spans: CapturedSpans) -> None:
    span = otel.start_server_span("GET", "/", {})
    with pytest.raises(RuntimeError), span.use():
        raise RuntimeError
    assert not trace.get_current_span().get_span_context().is_valid
    assert spans.all() == []


@pytest.mark.parametrize(
    ("status", "error", "code", "error_type"),
    [
        (200, None, StatusCode.UNSET, None),
        (404, None, StatusCode.UNSET, None),
        (429, Refused("secret"), StatusCode.UNSET, "queue_full"),
        (500, None, StatusCode.ERROR, "500"),
        (503, Refused("secret"), StatusCode.ERROR, "queue_full"),
        (500, ValueError("secret"), StatusCode.ERROR, "ValueError"),
        (200, Refused("secret"), StatusCode.ERROR, "queue_full"),
        (None, ValueError("secret"), StatusCode.ERROR, "ValueError"),
        (200, asyncio.CancelledError(), StatusCode.UNSET, None),
    ],
)
def test_how_the_request_ended(
    spans: CapturedSpans, status: int | None, error: BaseException | None, code: StatusCode, error_type: str | None
) -> None:
    span = otel.start_server_span("GET", "/", {})
    if error is not None:
        span.fail(error)
    if status is not None:
        span.status(status)
    span.end()

    found = spans.one("GET")
    assert found.attributes is not None
    assert found.status.status_code is code
    assert found.attributes.get("error.type") == error_type
    assert found.attributes.get("http.response.status_code") == status
    assert found.attributes.get("mlx.cancelled") == (True if isinstance(error, asyncio.CancelledError) else None)
    assert "secret" not in found.to_json()


def test_the_first_failure_is_the_one_recorded(spans: CapturedSpans) -> None:
    span = otel.start_server_span("GET", "/", {})
    span.fail(Refused())
    span.fail(ValueError())
    span.end()
    assert spans.one("GET").status.description == "queue_full"


def test_only_the_first_end_counts(spans: CapturedSpans, caplog: pytest.LogCaptureFixture) -> None:
    span = otel.start_server_span("GET", "/", {})
    span.status(200)
    span.end()
    span.status(500)
    span.route("/late")
    span.end()

    found = spans.one("GET")
    assert dict(found.attributes or {})["http.response.status_code"] == 200
    assert caplog.text == ""


def test_a_request_id_set_after_the_start_is_recorded_too(spans: CapturedSpans) -> None:
    span = otel.start_server_span("GET", "/", {})
    token = otel.request_id.set("late")
    span.end()
    otel.request_id.reset(token)
    assert dict(spans.one("GET").attributes or {})["request.id"] == "late"


def test_without_an_exporter_the_callers_trace_is_still_current() -> None:
    with otel.start_server_span("GET", "/", {"traceparent": TRACEPARENT}).use():
        assert trace.get_current_span().get_span_context().trace_id == TRACE_ID
        assert not trace.get_current_span().is_recording()


def test_headers_of_a_wrong_shape_do_not_raise(spans: CapturedSpans) -> None:
    otel.start_server_span("GET", "/", [("text", "not bytes")]).end()  # type: ignore[list-item]
    assert spans.names() == ["GET"]
