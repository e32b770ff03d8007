"""The last requests in memory: bounded, grouped by request, sampled or not, without contents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel
from otel import _content
from otel._operations import operation as _operation
from otel._recent.local_spans import LocalTracer
from otel._recent.sampled_spans import RecentProcessor, RecordAll
from otel._recent.store import MAX_SPANS, RecentRequests


@pytest.fixture(params=["with an exporter", "without"])
def recent(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[RecentRequests]:
    kept = RecentRequests(3, lambda path: path.startswith("/v1/"))
    provider = TracerProvider(sampler=RecordAll(ALWAYS_OFF), shutdown_on_exit=False)
    provider.add_span_processor(RecentProcessor(kept))
    tracer = LocalTracer(kept) if request.param == "without" else provider.get_tracer("test")
    monkeypatch.setattr(_operation, "_tracer", tracer)
    yield kept
    provider.shutdown()


def handle(path: str = "/v1/chat/completions", request_id: str = "a") -> None:
    token = otel.request_id.set(request_id)
    span = otel.start_server_span("POST", path, {})
    with span.use():
        otel.start_queue(model="qwen", request_id=request_id, depth=0).admitted()
        task = otel.start_task("speech", model="qwen", request_id=request_id)
        task.child("sentence", 0.0, 0.1)
        task.stop()
    span.status(200)
    span.end()
    otel.request_id.reset(token)


def test_a_request_has_its_spans_though_nothing_is_sampled(recent: RecentRequests) -> None:
    handle()
    (kept,) = recent.since(0)["requests"]
    assert (kept["request_id"], kept["status"], kept["model"], kept["finished"]) == ("a", 200, "qwen", True)
    assert [span["name"] for span in kept["spans"]] == ["POST", "queue", "speech qwen", "sentence"]
    by_name = {span["name"]: span for span in kept["spans"]}
    assert by_name["sentence"]["parent"] == by_name["speech qwen"]["id"]


def test_only_the_last_are_kept_and_only_new_ones_returned(recent: RecentRequests) -> None:
    for name in "abcde":
        handle(request_id=name)
    handle("/health")
    page = recent.since(0)
    assert [kept["request_id"] for kept in page["requests"]] == ["c", "d", "e"]
    assert recent.since(page["sequence"])["requests"] == []
    handle(request_id="f")
    assert [kept["request_id"] for kept in recent.since(page["sequence"])["requests"]] == ["f"]


def test_a_playback_that_is_reported_later_is_added_to_its_request(recent: RecentRequests) -> None:
    span = otel.start_server_span("POST", "/v1/chat/completions", {})
    with span.use():
        playback = otel.start_playback(model="qwen", request_id="a")
    span.end()
    handle(request_id="b")
    page = recent.since(0)
    playback.report([("started", 0.1), ("ended", 0.2)], 0.1)

    (grown,) = recent.since(page["sequence"])["requests"]
    assert grown["key"] == page["requests"][0]["key"]
    assert [kept["name"] for kept in grown["spans"]] == ["POST", "client playback"]
    assert [event["name"] for event in grown["spans"][1]["events"]] == ["playback.started", "playback.ended"]
    assert len(recent.since(0)["requests"]) == 2
    assert recent._of == {}


def test_a_playback_of_a_request_that_is_no_longer_kept_is_dropped(recent: RecentRequests) -> None:
    span = otel.start_server_span("POST", "/v1/chat/completions", {})
    with span.use():
        playback = otel.start_playback(model="qwen", request_id="a")
    span.end()
    for name in "bcd":
        handle(request_id=name)
    before = recent.since(0)
    playback.report([("started", 0.1)], 0.1)

    assert recent.since(0) == before
    assert recent._of == {}


def test_what_is_in_flight_is_returned_each_time(recent: RecentRequests) -> None:
    span = otel.start_server_span("POST", "/v1/embeddings", {})
    with span.use():
        queue = otel.start_queue(model="qwen", request_id="a", depth=0)
        (kept,) = recent.since(99)["requests"]
        assert not kept["finished"]
        assert [span["finished"] for span in kept["spans"]] == [False, False]
        queue.cancel()
    span.end()
    assert recent.since(0)["requests"][0]["finished"]
    assert recent._of == {}


def test_a_request_of_many_spans_is_cut(recent: RecentRequests) -> None:
    span = otel.start_server_span("POST", "/v1/audio/speech", {})
    with span.use():
        task = otel.start_task("speech", model="qwen", request_id="a")
        for _ in range(MAX_SPANS + 5):
            task.child("sentence", 0.0, 0.1)
        task.stop()
    span.end()
    (kept,) = recent.since(0)["requests"]
    assert len(kept["spans"]) == MAX_SPANS
    assert kept["left_out"] == 7


def test_contents_are_left_out(recent: RecentRequests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_content, "_captured", True)
    span = otel.start_server_span("POST", "/v1/chat/completions", {})
    with span.use():
        chat = otel.start_chat(model="qwen", request_id="a", params=otel.ChatParams())
        chat.content(otel.Content(input_messages=[{"role": "user", "parts": ["xyzzy"]}]))
        chat.cancel()
    span.end()
    assert "xyzzy" not in repr(recent.since(0))
