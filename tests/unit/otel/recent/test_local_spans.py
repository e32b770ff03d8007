"""Spans without an exporter: they continue the caller's trace, and make no called service record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.trace import StatusCode, get_current_span

import otel
from otel._operations import operation as _operation
from otel._recent.local_spans import LocalSpan, LocalTracer
from otel._recent.store import RecentRequests

RECORD = """
import json, sys
import otel
otel.setup(recent=5, metrics=True)
span = otel.start_server_span("POST", "/v1/embeddings", {})
with span.use():
    known = otel.trace_parent()
    otel.start_queue(model="m", request_id="r", depth=0).admitted()
span.end()
recorded = otel.recent_requests()["requests"]
print(json.dumps({
    "spans": [kept["name"] for request in recorded for kept in request["spans"]],
    "sdk": "opentelemetry.sdk.trace" in sys.modules,
    "metrics": len(otel.metrics_page()[0]),
    "known": known,
}))
"""


@pytest.fixture
def recent(monkeypatch: pytest.MonkeyPatch) -> RecentRequests:
    kept = RecentRequests(3, lambda _: True)
    monkeypatch.setattr(_operation, "_tracer", LocalTracer(kept))
    return kept


def test_the_caller_s_trace_goes_on_and_is_not_sampled_for_our_sake(recent: RecentRequests) -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    span = otel.start_server_span("GET", "/", {"traceparent": f"00-{trace_id}-{span_id}-01", "tracestate": "a=1"})
    with span.use():
        context = get_current_span().get_span_context()
    span.end()

    assert f"{context.trace_id:032x}" == trace_id
    assert dict(context.trace_state) == {"a": "1"}
    assert not context.trace_flags.sampled
    (kept,) = recent.since(0)["requests"]
    assert kept["spans"][0]["parent"] == span_id


def test_a_span_that_has_ended_stays_as_it_is(recent: RecentRequests) -> None:
    span = LocalTracer(recent).start_span("one", attributes={"a": 1})
    assert isinstance(span, LocalSpan)
    span.end(span.start_time + 5)

    span.end()
    span.set_attribute("b", 2)
    span.add_event("late")
    span.update_name("two")
    span.set_status(StatusCode.ERROR)

    assert (span.name, span.attributes, span.events, span.end_time) == ("one", {"a": 1}, [], span.start_time + 5)
    assert span.status.status_code is StatusCode.UNSET
    assert not span.is_recording()


def test_an_exception_is_named_and_not_quoted(recent: RecentRequests) -> None:
    span = LocalTracer(recent).start_span("one")
    assert isinstance(span, LocalSpan)
    span.record_exception(ValueError("the prompt"))
    assert "ValueError" in repr(span.events)
    assert "the prompt" not in repr(span.events)


@pytest.mark.parametrize("disabled", [False, True])
def test_the_sdk_s_spans_are_not_loaded_for_the_page_and_nothing_is_where_all_is_off(disabled: bool) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    env = {**clean, "OTEL_SDK_DISABLED": str(disabled).lower(), "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", RECORD], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    recorded: dict[str, Any] = json.loads(done.stdout)

    assert not recorded["sdk"]
    assert recorded["spans"] == ([] if disabled else ["POST", "queue"])
    assert (recorded["known"] is None) == disabled
    assert (recorded["metrics"] == 0) == disabled
