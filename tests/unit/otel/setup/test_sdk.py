"""The SDK, configured by the environment: exported spans, and the cost of a broken collector. One process per case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

EMIT = """
import json, sys
import otel
otel.configure_logging("info", "json")
telemetry = otel.setup(service_version="1.2.3")
same = otel.setup() is telemetry
span = otel.start_server_span("GET", "/health", {})
with span.use():
    otel.start_queue(model="m", request_id="r", depth=0).admitted()
span.end()
telemetry.shutdown(timeout=float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
telemetry.shutdown()
sdk = "opentelemetry.sdk.trace" in sys.modules
print(json.dumps({"same": same, "sdk": sdk}))
"""

PATIENT = 300
"""Seconds for which a broken collector holds an exporter that waits for it."""
WITHIN = 25
"""Seconds for a process that takes one or two. The SDK would wait for 30."""


class Collector:
    """An OTLP/HTTP collector in memory; a `silent` one accepts requests and never answers."""

    def __init__(self, *, silent: bool = False) -> None:
        self.paths: list[str] = []
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        release = self._release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if silent:
                    release.wait(PATIENT)
                    return
                outer.paths.append(self.path)
                outer.headers.append({key.lower(): value for key, value in self.headers.items()})
                outer.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()

    def resource(self) -> dict[str, str]:
        (spans,) = self.requests[0].resource_spans
        return {item.key: item.value.string_value for item in spans.resource.attributes}

    def span_names(self) -> list[str]:
        return [
            span.name
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    started = Collector()
    yield started
    started.close()


def run(environment: dict[str, str], *arguments: str) -> tuple[dict[str, Any], str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", EMIT, *arguments],
        env={**clean, **environment, "NO_PROXY": "127.0.0.1", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result, done.stderr


def test_spans_reach_the_collector_with_the_default_service_name(collector: Collector) -> None:
    result, _ = run({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-team=lab"})

    assert result["same"]
    assert collector.paths == ["/v1/traces"]
    assert sorted(collector.span_names()) == ["GET", "queue"]
    assert collector.headers[0]["x-team"] == "lab"
    assert collector.resource()["service.name"] == "mlx-openai-server"
    assert collector.resource()["service.version"] == "1.2.3"


@pytest.mark.parametrize(
    "named",
    [{"OTEL_SERVICE_NAME": "debate"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=debate,deployment.environment=lab"}],
)
def test_the_environment_names_the_service(collector: Collector, named: dict[str, str]) -> None:
    run({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/custom", **named})
    assert collector.paths == ["/custom"]
    assert collector.resource()["service.name"] == "debate"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_exported_or_even_loaded_unless_the_environment_configures_it(
    collector: Collector, environment: dict[str, str]
) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url} if environment else {}
    result, errors = run({**endpoint, **environment})

    assert not result["sdk"]
    assert collector.requests == []
    assert errors == ""


def test_the_sampler_of_the_environment_is_used(collector: Collector) -> None:
    run({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER": "always_off"})
    assert collector.requests == []


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "zipkin"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}, "otlp over smoke"),
    ],
)
def test_an_exporter_that_is_not_installed_is_named(
    collector: Collector, environment: dict[str, str], named: str
) -> None:
    _, errors = run({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **environment})

    assert collector.requests == []
    assert json.loads(errors.splitlines()[0])["message"].startswith(f"no exporter for {named} is installed")


def test_a_setting_the_sdk_refuses_turns_tracing_off_with_a_warning(collector: Collector) -> None:
    _, errors = run({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_MAX_QUEUE_SIZE": "-5"})

    assert collector.requests == []
    assert "traces are not exported" in errors


WAITS = {"OTEL_EXPORTER_OTLP_TIMEOUT": str(PATIENT)}


def test_a_collector_that_is_not_there_does_not_hold_the_shutdown() -> None:
    result, _ = run({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **WAITS}, "0.3")
    assert result["sdk"]


def test_a_collector_that_never_answers_does_not_hold_the_shutdown() -> None:
    silent = Collector(silent=True)
    try:
        _, errors = run({"OTEL_EXPORTER_OTLP_ENDPOINT": silent.url, **WAITS}, "0.3")
    finally:
        silent.close()

    assert "the last spans were not sent" in errors
