"""Telemetry of real requests: whole trees at a collector, a page Prometheus can read, and gauges that come to rest."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.live.client import ask, chat, eventually, queue_stats, stream
from tests.live.collector import Collector, Span, collecting
from tests.live.harness import LiveServer, start

CHAT = "/v1/chat/completions"
MODEL = "smollm2-135m-instruct"
EMBEDDER = "all-minilm-l6-v2"
SPEAKER = "kokoro-82m"
REQUIRED = {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "request.id"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 8}},
            "required": ["city"],
        },
    },
}


@attrs.frozen(kw_only=True)
class Case:
    """A request, and the spans of its tree: each name's parent (None: the caller's)."""

    path: str
    body: dict[str, Any]
    tree: dict[str, str | None]
    answer: str
    """The span of the answer, which has the conventions' attributes."""


def tree(path: str, answer: str, *children: str) -> dict[str, str | None]:
    server = f"POST {path}"
    return {server: None, "queue": server, answer: server, **dict.fromkeys(children, answer)}


CASES = {
    "a streamed chat": Case(
        path=CHAT,
        body=chat("Count to ten.", stream=True, max_tokens=24, temperature=0),
        tree=tree(CHAT, f"chat {MODEL}", "prefill", "decode"),
        answer=f"chat {MODEL}",
    ),
    "a chat with tools": Case(
        path=CHAT,
        body=chat("Weather in Oslo?", tools=[TOOL], tool_choice="required", max_tokens=48, temperature=0),
        tree=tree(CHAT, f"chat {MODEL}", "prefill", "decode", "tool_call get_weather"),
        answer=f"chat {MODEL}",
    ),
    "an embedding, loaded for this": Case(
        path="/v1/embeddings",
        body={"model": "any", "input": ["one", "two"]},
        tree={**tree("/v1/embeddings", f"embeddings {EMBEDDER}", "encode"), f"load {EMBEDDER}": "POST /v1/embeddings"},
        answer=f"embeddings {EMBEDDER}",
    ),
    "speech, loaded for this": Case(
        path="/v1/audio/speech",
        body={"model": "any", "input": "Hello there.", "voice": "alloy", "response_format": "wav"},
        tree={**tree("/v1/audio/speech", f"speech {SPEAKER}", "sentence"), f"load {SPEAKER}": "POST /v1/audio/speech"},
        answer=f"speech {SPEAKER}",
    ),
}


@pytest.fixture(scope="module")
def collector() -> Generator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(collector: Collector) -> Generator[LiveServer]:
    env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.endpoint}/v1/traces", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    running = start("--log-format", "json", env=env)
    yield running
    assert running.stop() == 0


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_request_is_one_tree(traced: LiveServer, collector: Collector, name: str) -> None:
    case, number = CASES[name], 0xF0 + [*CASES].index(name)
    trace_id, caller = f"{number:032x}", f"{number:016x}"
    headers = {
        "traceparent": f"00-{trace_id}-{caller}-01",
        "tracestate": "vendor=kept",
        "baggage": "debate=7",
        "x-request-id": name,
    }
    with httpx.stream("POST", traced.url + case.path, json=case.body, headers=headers, timeout=60) as response:
        assert response.status_code == 200, response.read()
        response.read()
    last_byte = time.time_ns()

    spans = collector.trace(trace_id, of=len(case.tree))

    assert set(spans) == set(case.tree)
    for span_name, parent in case.tree.items():
        span = spans[span_name]
        assert span.start <= span.end
        assert span.attributes["request.id"] == name
        assert span.status == 0
        assert span.parent_id == (caller if parent is None else spans[parent].span_id)
        if parent is not None:
            assert spans[parent].start <= span.start
            assert span.end <= spans[parent].end
    assert set(spans[case.answer].attributes) >= REQUIRED
    if "decode" in spans:
        assert abs(last_byte - spans["decode"].end) < 20_000_000
        assert spans["prefill"].end <= spans["decode"].start
    assert spans[f"POST {case.path}"].end - last_byte < 20_000_000
    assert_kept(traced, name, spans)


def assert_kept(server: LiveServer, request_id: str, spans: dict[str, Span]) -> None:
    """The server's own page shows the same spans."""
    data = ask(server.url, method="GET", path="/traces/data").json()
    (kept,) = [request for request in data["requests"] if request["request_id"] == request_id]
    assert {span["name"]: span["id"] for span in kept["spans"]} == {name: s.span_id for name, s in spans.items()}
    assert kept["finished"]


def test_log_lines_say_model_tokens_and_times(traced: LiveServer) -> None:
    ask(traced.url, chat("Hi", max_tokens=3, temperature=0), headers={"x-request-id": "said"})
    line = json.loads(traced.log.wait_for(r'^.*"request_id": ?"said".*$')[0])
    assert (line["model"], line["output_tokens"], line["status"]) == (MODEL, 3, 200)
    assert 0 < line["ttft"] <= line["duration"]
    assert line["trace_id"]


def gauges(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every gauge of ours but sizes of memory, by name and labels, as Prometheus reads the page."""
    page = ask(url, method="GET", path="/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        if family.type == "gauge" and family.name.startswith(("mlx_", "http_"))
        for sample in family.samples
        if "hit_ratio" not in family.name and "memory" not in family.name
    }


def total(url: str, name: str, **labels: str) -> float:
    page = ask(url, method="GET", path="/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_five_hundred_mixed_requests_leave_every_gauge_at_rest(echo_server: LiveServer) -> None:
    url = echo_server.url
    ask(url, chat("warm up"))
    before = gauges(url)
    completed = total(url, "mlx_requests_total", mlx_outcome="completed")

    def one(number: int) -> int | None:
        match number % 5:
            case 0:
                return int(ask(url, chat("one two three")).status_code)
            case 1:
                with stream(url, chat("one two three")) as answer:
                    return len(list(answer)) and 200
            case 2:
                return int(ask(url, {"model": "any"}).status_code)
            case 3:
                return int(ask(url, method="GET", path=f"/nothing/{number}").status_code)
            case 4:
                leave(url)
                return None
        raise AssertionError(number)

    with ThreadPoolExecutor(8) as pool:
        statuses = [*pool.map(one, range(500))]
    assert {status: statuses.count(status) for status in set(statuses)} == {200: 200, 400: 100, 404: 100, None: 100}

    eventually(lambda: queue_stats(url)["active"] == 0)
    eventually(lambda: gauges(url) == before)
    assert total(url, "mlx_requests_total", mlx_outcome="completed") - completed >= 200
    assert total(url, "http_server_request_duration_seconds_count", http_response_status_code="404") >= 100


def leave(url: str) -> None:
    """Go away while the answer comes."""
    with stream(url, chat("word " * 500, chat_template_kwargs={"echo_delay": 0.01})) as answer:
        answer.first_piece()
