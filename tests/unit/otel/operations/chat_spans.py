"""Helpers for tests of chat spans."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan

import otel


class Refused(Exception):
    """Like a service's error: a stable code, and a message that quotes the prompt."""

    code = "queue_full"


def start_chat(**params: object) -> otel.ChatSpan:
    return otel.start_chat(model="qwen", request_id="req-1", params=otel.ChatParams(**params))  # type: ignore[arg-type]


def stop(chat: otel.ChatSpan, *, prefill: float = 0.0, decode: float = 0.0, completion_tokens: int = 5) -> None:
    chat.stop(("stop",), 10, completion_tokens, 4, prefill, decode)


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def backdate(chat: otel.ChatSpan, seconds: float) -> None:
    """Pretend that the span was started and accepted this long ago."""
    back = int(seconds * 1e9)
    chat._perf_ns -= back
    chat._accepted_ns = chat._start_ns
