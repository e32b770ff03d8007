"""Chat spans of requests that fail or are cancelled, and of a telemetry SDK that fails."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from opentelemetry.trace import StatusCode

import otel
from otel._operations import operation as _operation
from otel.testing import CapturedSpans
from tests.unit.otel.operations.chat_spans import Refused, attributes, start_chat, stop


def test_an_error_with_a_code_is_recorded_by_its_code(spans: CapturedSpans) -> None:
    otel.start_queue(model="qwen", request_id="req-1", depth=3).fail(Refused("secret prompt"))

    span = spans.one("queue")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "queue_full"
    assert attributes(span)["error.type"] == "queue_full"
    assert span.events == ()


def test_an_unforeseen_error_is_recorded_by_class_and_place_without_its_message(spans: CapturedSpans) -> None:
    chat = start_chat()
    try:
        raise RuntimeError("secret prompt")
    except RuntimeError as error:
        chat.fail(error)

    span = spans.one("chat qwen")
    (event,) = span.events
    assert attributes(span)["error.type"] == "RuntimeError"
    assert event.attributes is not None
    assert Path(__file__).name in str(event.attributes["exception.stacktrace"])
    assert "secret prompt" not in span.to_json().replace('raise RuntimeError(\\"secret prompt\\")', "")


def test_a_failure_while_decoding_shows_how_far_it_came(spans: CapturedSpans) -> None:
    chat = start_chat()
    chat.accepted(10, 4)
    chat.generated()
    chat.fail(Refused())

    assert spans.names() == ["prefill", "decode", "chat qwen"]
    assert spans.one("prefill").status.status_code is StatusCode.UNSET
    assert spans.one("decode").status.status_code is StatusCode.ERROR
    assert attributes(spans.one("decode"))["error.type"] == "queue_full"
    assert attributes(spans.one("chat qwen"))["gen_ai.usage.input_tokens"] == 10
    assert "gen_ai.response.finish_reasons" not in attributes(spans.one("chat qwen"))


def test_a_failure_while_prefilling_has_no_decode(spans: CapturedSpans) -> None:
    chat = start_chat()
    chat.accepted(10, 4)
    chat.fail(Refused())

    assert spans.names() == ["prefill", "chat qwen"]
    assert spans.one("prefill").status.status_code is StatusCode.ERROR


def test_a_refusal_before_acceptance_has_no_children(spans: CapturedSpans) -> None:
    start_chat().fail(Refused())
    assert spans.names() == ["chat qwen"]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()])
def test_a_cancellation_is_marked_and_is_no_error(spans: CapturedSpans, error: BaseException) -> None:
    queue = otel.start_queue(model="qwen", request_id="req-1", depth=0)
    queue.fail(error)
    chat = start_chat()
    chat.accepted(10, 4)
    chat.generated()
    chat.fail(error)

    for name in ("queue", "chat qwen", "decode"):
        span = spans.one(name)
        assert attributes(span)["mlx.cancelled"] is True
        assert span.status.status_code is StatusCode.UNSET
        assert "error.type" not in attributes(span)


def test_hostile_values_stay_encodable(spans: CapturedSpans) -> None:
    stop(start_chat(seed=10**80, stop=tuple("\ud800" * 500 for _ in range(1000))))

    found = attributes(spans.one("chat qwen"))
    stops = found["gen_ai.request.stop_sequences"]
    assert isinstance(stops, tuple)
    assert len(stops) <= 16
    assert all(len(text) <= 256 and text.encode() for text in stops)
    assert found["gen_ai.request.seed"] == "1" + "0" * 80


@pytest.mark.parametrize("broken", ["start_span", "set_attributes", "set_status", "add_event", "end"])
def test_a_broken_sdk_never_reaches_the_request(
    spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the SDK is broken")

    calls = []

    def counted(*args: object, **kwargs: object) -> None:
        calls.append(broken)
        fail()

    owner = type(_operation.tracer()) if broken == "start_span" else type(_operation.tracer().start_span("probe"))
    monkeypatch.setattr(owner, broken, counted)
    with caplog.at_level(logging.DEBUG, "otel"):
        server = otel.start_server_span("POST", "/v1/chat/completions", {"traceparent": "garbage"})
        with server.use():
            server.route("/v1/chat/completions")
            for finish in ("stop", "fail", "cancel"):
                otel.start_queue(model="qwen", request_id="req-1", depth=0).admitted()
                otel.start_queue(model="qwen", request_id="req-1", depth=0).fail(RuntimeError())
                chat = start_chat(temperature=0.5)
                chat.accepted(10, 4)
                chat.generated()
                if finish == "stop":
                    stop(chat)
                elif finish == "fail":
                    chat.fail(RuntimeError())
                else:
                    chat.cancel()
        server.status(500)
        server.end()

    assert calls
    assert "telemetry failed" in caplog.text


def test_wrong_arguments_never_raise_and_still_end_the_span(spans: CapturedSpans) -> None:
    chat = start_chat()
    chat.accepted(10, 4)
    chat.stop(("stop",), 10, 5, 4, None, "soon")  # type: ignore[arg-type]
    assert "chat qwen" in spans.names()
