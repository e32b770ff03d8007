"""One trace from the caller's header to the last token, as a collector receives it; and a collector that is dead."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.live.client import ask, chat, eventually, queue_stats, stream
from tests.live.collector import Collector, Span
from tests.live.harness import LiveServer

SERVER_KIND = 2
QUEUE = 16
"""Number of spans that may wait for a dead collector."""
ERROR = 2

Launch = Callable[..., LiveServer]


def telemetry(endpoint: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}


def caller(number: int) -> tuple[str, str, dict[str, str]]:
    """A caller's trace ID and span ID, and the headers with both."""
    trace_id, span_id = f"{number:032x}", f"{number:016x}"
    headers = {"traceparent": f"00-{trace_id}-{span_id}-01", "x-request-id": f"turn-{number}"}
    return trace_id, span_id, headers


def assert_inside(child: Span, parent: Span) -> None:
    assert child.parent_id == parent.span_id
    assert parent.start <= child.start <= child.end <= parent.end


def test_a_streamed_chat_is_one_trace_under_the_caller_s_span(traced: LiveServer, collector: Collector) -> None:
    trace_id, parent_id, headers = caller(0x1A1)
    with stream(traced.url, chat("What is the capital of France?", temperature=0), headers=headers) as answer:
        list(answer)
    (usage,) = (event["usage"] for event in answer.events if event.get("usage"))

    spans = collector.trace(trace_id, of=5)

    model = "smollm2-135m-instruct"
    assert set(spans) == {"POST /v1/chat/completions", "queue", f"chat {model}", "prefill", "decode"}
    server, queue, generation = spans["POST /v1/chat/completions"], spans["queue"], spans[f"chat {model}"]
    prefill, decode = spans["prefill"], spans["decode"]
    assert (server.parent_id, server.kind) == (parent_id, SERVER_KIND)
    for child, parent in ((queue, server), (generation, server), (prefill, generation), (decode, generation)):
        assert_inside(child, parent)
    assert queue.end <= generation.start
    assert prefill.end <= decode.start
    assert prefill.end > prefill.start
    assert decode.end > decode.start
    assert {span.attributes["request.id"] for span in spans.values()} == {"turn-417"}
    assert {span.status for span in spans.values()} == {0}
    assert server.resource["service.name"]
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["http.route"] == "/v1/chat/completions"
    assert generation.attributes["gen_ai.operation.name"] == "chat"
    assert generation.attributes["gen_ai.request.stream"] is True
    assert 0 < generation.attributes["gen_ai.response.time_to_first_chunk"] < (generation.end - generation.start) / 1e9
    assert generation.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert generation.attributes["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert generation.attributes["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert "capital" not in repr([span.attributes for span in spans.values()])


def test_a_disconnect_is_recorded_in_the_trace(traced: LiveServer, collector: Collector) -> None:
    trace_id, _, headers = caller(0x1C3)
    with stream(traced.url, chat("Count to a thousand.", max_tokens=4000), headers=headers) as answer:
        answer.first_piece()
    eventually(lambda: queue_stats(traced.url)["active"] == 0)

    spans = collector.trace(trace_id, of=5)

    for name in ("POST /v1/chat/completions", "chat smollm2-135m-instruct", "decode"):
        assert spans[name].attributes["mlx.cancelled"] is True


def test_a_refusal_is_recorded_in_the_trace_and_not_as_an_error_of_the_server(
    traced: LiveServer, collector: Collector
) -> None:
    trace_id, parent_id, headers = caller(0x1D4)
    assert ask(traced.url, {}, headers=headers).status_code == 400

    (span,) = collector.trace(trace_id, of=1).values()

    assert span.parent_id == parent_id
    assert span.attributes["http.response.status_code"] == 400
    assert span.attributes["request.id"] == "turn-468"
    assert span.status != ERROR


def test_the_last_spans_and_metrics_are_exported_before_the_server_exits(launch: Launch, collector: Collector) -> None:
    slowly = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    server = launch("--model-type", "echo", env=slowly)
    trace_id, _, headers = caller(0x1E5)
    ask(server.url, chat("Hi"), headers=headers)

    assert server.stop() == 0

    assert "chat echo" in collector.trace(trace_id, of=5)
    assert {
        "gen_ai.server.request.duration",
        "http.server.request.duration",
        "mlx.queue.depth",
    } <= collector.metric_names


@pytest.mark.parametrize("kind", ["no listener", "no answer"])
def test_a_dead_collector_delays_neither_requests_nor_shutdown(launch: Launch, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        if kind == "no listener":
            silent.close()
        patient = {"OTEL_EXPORTER_OTLP_TIMEOUT": "300"}  # a request that waited for an export would time out
        small = {"OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE), "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(QUEUE)}
        counted = {"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true"}
        server = launch("--model-type", "echo", env={**telemetry(endpoint), **small, **counted, **patient})

        with httpx.Client(base_url=server.url, timeout=30) as client:
            for _ in range(50):
                assert client.post("/v1/chat/completions", json=chat("one two three")).status_code == 200
            metrics = samples(client.get("/metrics").text)
        begun = time.monotonic()
        code = server.stop()
        ended = time.monotonic() - begun

    assert code == 0
    assert ended < 20, "the SDK would wait for 30 seconds"
    assert "Traceback" not in server.log.text
    assert metrics["otel_sdk_processor_span_queue_size"] <= QUEUE
    if kind == "no answer":
        dropped = metrics["otel_sdk_processor_span_processed_total", "queue_full"]
        assert dropped > 50 * 5 - 3 * QUEUE, "the queue of spans is not bounded"


def samples(page: str) -> dict[Any, float]:
    """Values of the page's samples by name, and by name and error type."""
    found: dict[Any, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            error = sample.labels.get("error_type")
            found[(sample.name, error) if error else sample.name] = sample.value
    return found
