"""Metrics as Prometheus parses them: names, labels and values."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import otel
from otel.testing import CapturedMetrics, capture_metrics, capture_spans

PLAYBACK = ("started", "stalled", "paused", "resumed", "ended", "stopped")
ROOT = Path(__file__).parents[4]


class Source:
    """A watched model."""

    def reading(self) -> otel.ModelReading:
        return otel.ModelReading(
            model="qwen",
            pending=2,
            active=3,
            sequences=4,
            outcomes={"completed": 5, "rejected": 1},
            restarts=6,
            loads=12,
            unloads=13,
            memory={"rss": 7, "active": 8},
            prefix_cache=9,
            speculated={"proposed": 11, "accepted": 10},
            replicas=(
                otel.ReplicaReading(replica=0, active=1, routed={"prefix": 14}, restarts=15, memory={"rss": 16}),
                otel.ReplicaReading(replica=1, ready=False, active=2, routed={"prefix": 17, "load": 18}),
            ),
        )


@pytest.fixture
def metrics() -> Iterator[CapturedMetrics]:
    with capture_metrics() as captured:
        yield captured


def answer(*, tokens: int = 3, decode: float = 0.5) -> None:
    otel.start_queue(model="qwen", request_id="r", depth=0).admitted()
    chat = otel.start_chat(model="qwen", request_id="r", params=otel.ChatParams())
    chat.accepted(10, 4)
    for _ in range(tokens):
        chat.generated(1)
    chat.stop(("stop",), 10, tokens, 4, 0.1, decode)


def everything(source: Source) -> None:
    """Record every metric once."""
    otel.watch(source.reading)
    span = otel.start_server_span("POST", "/v1/chat/completions", {})
    with span.use():
        span.route("/v1/chat/completions")
        span.size(10, 20)
        span.status(200)
        answer()
        speech = otel.start_task("speech", model="kokoro", request_id="r")
        speech.first()
        speech.audio(2.0, 1.0)
        speech.stop()
        playback = otel.start_playback(model="qwen", request_id="r")
        playback.report([(kind, 0.1) for kind in PLAYBACK], 0.1)
    span.end()


def test_an_answer_is_measured_by_the_conventions_names(metrics: CapturedMetrics) -> None:
    answer(tokens=3, decode=0.5)

    model = {"gen_ai_request_model": "qwen", "gen_ai_operation_name": "chat", "gen_ai_provider_name": "mlx"}
    assert metrics.value("gen_ai_server_request_duration_seconds_count", **model) == 1
    assert metrics.value("gen_ai_server_time_to_first_token_seconds_count", **model) == 1
    assert metrics.value("gen_ai_server_time_per_output_token_seconds_sum", **model) == pytest.approx(0.25)
    assert metrics.value("gen_ai_client_token_usage_sum", gen_ai_token_type="input", **model) == 10
    assert metrics.value("gen_ai_client_token_usage_sum", gen_ai_token_type="output", **model) == 3
    assert metrics.value("mlx_queue_wait_seconds_count", gen_ai_request_model="qwen") == 1


def test_metrics_need_no_span_that_records(metrics: CapturedMetrics) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    with capture_spans(ALWAYS_OFF) as spans:
        answer()

    assert spans.all() == []
    assert metrics.value("gen_ai_server_request_duration_seconds_count") == 1


def test_an_answer_is_counted_once_however_often_it_ends(metrics: CapturedMetrics) -> None:
    chat = otel.start_chat(model="qwen", request_id="r", params=otel.ChatParams())
    chat.fail(asyncio.CancelledError())
    chat.fail(RuntimeError("the prompt"))
    chat.stop(("stop",), 1, 1, 0, 0.0, 0.0)

    assert metrics.value("gen_ai_server_request_duration_seconds_count", error_type="cancelled") == 1
    assert metrics.value("gen_ai_server_request_duration_seconds_count") == 1
    assert "the prompt" not in metrics.page()


def test_tokens_are_there_before_the_answer_ends(metrics: CapturedMetrics) -> None:
    source = Source()
    otel.watch(source.reading)
    chat = otel.start_chat(model="qwen", request_id="r", params=otel.ChatParams())
    chat.accepted(10, 4)
    chat.generated(2)

    assert metrics.value("mlx_tokens_total", mlx_token_kind="generated") == 2
    assert metrics.value("mlx_prefix_cache_hit_ratio") == pytest.approx(0.4)

    chat.stop(("stop",), 10, 3, 4, 0.0, 0.0)
    assert metrics.value("mlx_tokens_total", mlx_token_kind="generated") == 3


def test_models_are_asked_when_metrics_are_collected(metrics: CapturedMetrics) -> None:
    source = Source()
    otel.watch(source.reading)

    assert metrics.value("mlx_queue_depth") == 2
    assert metrics.value("mlx_requests_active") == 3
    assert metrics.value("mlx_batch_occupancy") == 4
    assert metrics.value("mlx_requests_total", mlx_outcome="rejected") == 1
    assert metrics.value("mlx_engine_restarts_total") == 6
    assert metrics.value("mlx_model_loads_total") == 12
    assert metrics.value("mlx_model_unloads_total") == 13
    assert metrics.value("mlx_engine_memory_bytes", mlx_memory_kind="rss") == 7
    assert metrics.value("mlx_prefix_cache_size_bytes") == 9
    assert metrics.value("mlx_speculation_total", mlx_speculation_kind="accepted") == 10
    assert metrics.value("mlx_replica_ready", mlx_replica="0") == 1
    assert metrics.value("mlx_replica_ready", mlx_replica="1") == 0
    assert metrics.value("mlx_replica_sequences", mlx_replica="1") == 2
    assert metrics.value("mlx_replica_requests_total", mlx_replica="1", mlx_route="load") == 18
    assert metrics.value("mlx_replica_restarts_total", mlx_replica="0") == 15
    assert metrics.value("mlx_replica_memory_bytes", mlx_replica="0", mlx_memory_kind="rss") == 16

    del source
    assert "mlx_queue_depth" not in metrics.page()


@pytest.mark.parametrize("path", ["/wp-login.php", "/v1/" + "x" * 300])
def test_a_path_is_never_a_label(metrics: CapturedMetrics, path: str) -> None:
    span = otel.start_server_span("BREW", path, {})
    span.status(404)
    span.end()

    assert metrics.value("http_server_request_duration_seconds_count", http_response_status_code="404") == 1
    assert metrics.value("http_server_request_duration_seconds_count", http_request_method="_OTHER") == 1
    assert path not in metrics.page()


def test_a_request_is_active_until_it_ends(metrics: CapturedMetrics) -> None:
    span = otel.start_server_span("GET", "/", {})
    assert metrics.value("http_server_active_requests") == 1
    span.end()
    span.end()
    assert metrics.value("http_server_active_requests") == 0


def test_buckets_are_ours_and_not_the_sdk_s(metrics: CapturedMetrics) -> None:
    answer()
    bounds = {
        sample.labels["le"]
        for sample in metrics.families()["gen_ai_server_request_duration_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert {"0.01", "81.92", "+Inf"} <= bounds


def test_dashboards_and_alerts_ask_for_what_is_exported(metrics: CapturedMetrics) -> None:
    source = Source()
    everything(source)
    exported = {sample.name for family in metrics.families().values() for sample in family.samples}
    labels = {label for family in metrics.families().values() for sample in family.samples for label in sample.labels}
    (dashboard,) = (json.loads(path.read_text()) for path in (ROOT / "otel/dashboards").glob("*.json"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for path in ("otel/alerts.yaml", "examples/scaling/rules.yml"):
        rules = yaml.safe_load((ROOT / path).read_text())
        asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]

    for expression in asked:
        names = set(re.findall(r"\b((?:http|gen_ai|mlx|process)_[a-z0-9_]+)\b", expression))
        assert names - exported - labels == set(), expression
        assert names & exported, expression
    panels = " ".join(asked)
    ours = {family for family in metrics.families() if family.startswith(("gen_ai", "mlx", "http"))}
    assert {family for family in ours if family not in panels} == set()


def test_the_collector_s_pipelines_name_parts_that_are_there() -> None:
    config = yaml.safe_load((ROOT / "otel/collector.yaml").read_text())
    for pipeline in config["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= set(config[part])
