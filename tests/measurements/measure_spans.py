"""CPU cost of a request's spans and metrics: `python -m tests.measurements.measure_spans [ROUNDS]`.

Prints CPU microseconds per request (median of the rounds) of what `otel` does for one streamed chat of `TOKENS` tokens,
from the start of the server span to its end, without HTTP or a model. All ways to record run in turn in one process:

    off          OTEL_SDK_DISABLED=true: no spans, no metrics
    metrics      metrics only; part of every row below
    page         no collector: spans of `otel/_recent/local_spans.py`, for the page at `/traces`
    page by SDK  no collector: the same page, filled by the SDK's spans
    export       the page, and spans that the SDK hands to a batch processor (its exporter discards them)
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import otel
from otel import _instruments
from otel._operations import operation as _operation
from otel._recent.local_spans import LocalTracer
from otel._recent.sampled_spans import RecentProcessor, RecordAll
from otel._recent.store import RecentRequests
from otel._setup.metrics import Metrics

TOKENS = 3
REQUESTS = 300
"""Requests per round."""
HEADERS = (
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"OpenAI/Python 2.0"),
    (b"content-type", b"application/json"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)
PARAMS = otel.ChatParams(temperature=0.7, top_p=0.9, max_tokens=64, seed=1, stream=True)


class _Discarded(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def request() -> None:
    """Make all calls of `otel` for one streamed chat."""
    token = otel.request_id.set("req-1")
    span = otel.start_server_span("POST", "/v1/chat/completions", HEADERS, client="127.0.0.1")
    with span.use():
        span.route("/v1/chat/completions")
        otel.start_queue(model="m", request_id="req-1", depth=0).admitted()
        chat = otel.start_chat(model="m", request_id="req-1", params=PARAMS)
        chat.accepted(36, 24)
        for _ in range(TOKENS):
            chat.generated()
        chat.stop(("stop",), 36, TOKENS, 24, 0.01, 0.02)
        span.status(200)
        span.size(142, 5600)
    span.end()
    otel.request_id.reset(token)


def _kept() -> RecentRequests:
    return RecentRequests(200, lambda _: True)


@contextmanager
def _by_sdk(*, exported: bool) -> Iterator[_operation.Tracer]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.sampler = RecordAll(provider.sampler)
    provider.add_span_processor(RecentProcessor(_kept()))
    if exported:
        provider.add_span_processor(BatchSpanProcessor(_Discarded()))
    yield provider.get_tracer(_operation.SCOPE)
    provider.shutdown()


def _round() -> float:
    begun = time.thread_time_ns()
    for _ in range(REQUESTS):
        request()
    return (time.thread_time_ns() - begun) / REQUESTS / 1e3


def measure(rounds: int) -> Mapping[str, list[float]]:
    """Microseconds per request in each round, by way to record."""
    nothing = _instruments.instruments()
    with ExitStack() as stack:
        metrics = Metrics(Resource.create({}))
        stack.callback(metrics.shutdown)
        recording = _instruments.Instruments(metrics.provider.get_meter(_operation.SCOPE))
        ways: Mapping[str, tuple[_instruments.Instruments, _operation.Tracer | None]] = {
            "off": (nothing, None),
            "metrics": (recording, None),
            "page": (recording, LocalTracer(_kept())),
            "page by SDK": (recording, stack.enter_context(_by_sdk(exported=False))),
            "export": (recording, stack.enter_context(_by_sdk(exported=True))),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(-1, rounds):
            for name, (kit, tracer) in ways.items():
                _instruments._instruments = kit
                _operation.use_tracer(tracer)
                took = _round()
                if number >= 0:  # the first round warms up
                    found[name].append(took)
    return found


def main() -> None:
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
    for name, times in found.items():
        lower, middle, upper = statistics.quantiles(times, n=4)
        print(f"{name:12} {middle:7.1f} µs per request ({lower:.1f} to {upper:.1f})")


if __name__ == "__main__":
    main()
