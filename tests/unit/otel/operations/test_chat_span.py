"""The spans of one chat: the tree, its times and its attributes."""

from __future__ import annotations

import math
import time

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

import otel
from otel import names
from otel._operations import operation as _operation
from otel.testing import CapturedSpans, capture_spans
from tests.unit.otel.operations.chat_spans import Refused, attributes, backdate, seconds, start_chat, stop


def test_one_answer_is_a_chat_span_with_prefill_and_decode(spans: CapturedSpans) -> None:
    with otel.start_server_span("POST", "/v1/chat/completions", {}).use() as server:
        otel.start_queue(model="qwen", request_id="req-1", depth=3).admitted()
        chat = start_chat()
        chat.accepted(10, 4)
        chat.generated()
        stop(chat)
    server.end()

    assert sorted(spans.names()) == ["POST", "chat qwen", "decode", "prefill", "queue"]
    root, answer = spans.one("POST"), spans.one("chat qwen")
    assert root.context is not None
    assert answer.context is not None
    for child, parent in (("queue", root), ("chat qwen", root), ("prefill", answer), ("decode", answer)):
        found = spans.one(child).parent
        assert found is not None
        assert parent.context is not None
        assert found.span_id == parent.context.span_id
        assert attributes(spans.one(child))["request.id"] == "req-1"


@pytest.mark.parametrize("encoded", [None, 0, 2])
def test_an_answer_about_pictures_counts_those_that_were_read(spans: CapturedSpans, encoded: int | None) -> None:
    chat = start_chat()
    chat.accepted(10, 4, encoded)
    stop(chat)

    assert attributes(spans.one("chat qwen")).get("mlx.pictures.encoded") == encoded


def test_the_answer_carries_its_request_and_usage(spans: CapturedSpans) -> None:
    chat = start_chat(temperature=0.5, top_k=3, max_tokens=20, seed=7, stop=("END",), stream=True)
    chat.accepted(10, 4)
    chat.generated()
    stop(chat)

    found = attributes(spans.one("chat qwen"))
    time_to_first_chunk = found.pop("gen_ai.response.time_to_first_chunk")
    assert isinstance(time_to_first_chunk, float)
    assert time_to_first_chunk >= 0
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mlx",
        "gen_ai.request.model": "qwen",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_k": 3,
        "gen_ai.request.max_tokens": 20,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "qwen",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "request.id": "req-1",
    }


def test_events_mark_admission_cache_and_first_token(spans: CapturedSpans) -> None:
    with otel.start_server_span("POST", "/v1/chat/completions", {}).use() as server:
        otel.start_queue(model="qwen", request_id="req-1", depth=0).admitted()
        chat = start_chat()
        chat.accepted(10, 4)
        chat.generated()
        chat.generated()
        chat.cancel()
    server.end()

    assert [event.name for event in spans.one("POST").events] == ["queue.admitted"]
    assert [event.name for event in spans.one("chat qwen").events] == ["prefix_cache.hit", "first_token", "cancelled"]


def test_each_call_of_a_tool_is_a_child_that_ends_with_its_last_piece(spans: CapturedSpans) -> None:
    chat = start_chat()
    chat.accepted(10, 0)
    chat.generated()
    chat.tool_call(0, 0, "call_1", "get_weather")
    chat.tool_call(0, 0, None, None)
    chat.tool_call(0, 1, "call_2", "get_time")
    stop(chat)

    parent, call = spans.one("chat qwen"), spans.one("tool_call get_weather")
    assert call.parent is not None
    assert parent.context is not None
    assert call.parent.span_id == parent.context.span_id
    assert attributes(call) == {
        "gen_ai.tool.name": "get_weather",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.type": "function",
        "request.id": "req-1",
    }
    assert seconds(call) > 0
    assert seconds(spans.one("tool_call get_time")) == 0


def test_several_answers_are_one_span_with_all_their_ends(spans: CapturedSpans) -> None:
    chat = start_chat(choices=2)
    chat.accepted(10, 4)
    chat.stop(("stop", "length"), 10, 9, 4, 0.0, 0.0)

    found = attributes(spans.one("chat qwen"))
    assert found["gen_ai.request.choice.count"] == 2
    assert found["gen_ai.response.finish_reasons"] == ("stop", "length")


def test_children_last_as_long_as_the_engine_measured(spans: CapturedSpans) -> None:
    chat = start_chat()
    chat.accepted(10, 4)
    backdate(chat, 1.0)
    stop(chat, prefill=0.25, decode=0.5, completion_tokens=11)

    prefill, decode = spans.one("prefill"), spans.one("decode")
    assert seconds(prefill) == pytest.approx(0.25)
    assert seconds(decode) == pytest.approx(0.5)
    assert prefill.end_time == decode.start_time
    assert attributes(prefill)["gen_ai.server.time_to_first_token"] == 0.25
    assert attributes(prefill)["gen_ai.usage.input_tokens"] == 10
    assert attributes(prefill)["gen_ai.usage.cache_read.input_tokens"] == 4
    assert attributes(decode)["gen_ai.usage.output_tokens"] == 11
    assert attributes(decode)["mlx.decode.tokens_per_second"] == pytest.approx(20.0)


def test_late_word_of_acceptance_does_not_push_decode_past_the_end(spans: CapturedSpans) -> None:
    chat = start_chat()
    backdate(chat, 1.0)
    chat._accepted_ns = None
    chat.accepted(10, 4)
    stop(chat, prefill=0.25, decode=0.5)

    answer, prefill, decode = spans.one("chat qwen"), spans.one("prefill"), spans.one("decode")
    assert decode.end_time == answer.end_time
    assert seconds(prefill) == pytest.approx(0.25)
    assert seconds(decode) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("prefill", "decode"), [(-1.0, -2.0), (math.nan, math.inf), (50.0, 50.0), (0.0, 9e99), (9e99, 0.0)]
)
def test_children_stay_inside_their_parent_whatever_the_engine_says(
    spans: CapturedSpans, prefill: float, decode: float
) -> None:
    chat = start_chat()
    chat.accepted(10, 4)
    stop(chat, prefill=prefill, decode=decode)

    answer, first, second = spans.one("chat qwen"), spans.one("prefill"), spans.one("decode")
    moments = [
        answer.start_time,
        first.start_time,
        first.end_time,
        second.start_time,
        second.end_time,
        answer.end_time,
    ]
    known = [moment for moment in moments if moment is not None]
    assert len(known) == 6
    assert known == sorted(known)


def test_one_token_has_no_speed(spans: CapturedSpans) -> None:
    chat = start_chat()
    chat.accepted(10, 4)
    backdate(chat, 1.0)
    stop(chat, decode=0.5, completion_tokens=1)
    assert "mlx.decode.tokens_per_second" not in attributes(spans.one("decode"))


def test_the_queue_records_wait_and_depth(spans: CapturedSpans) -> None:
    queue = otel.start_queue(model="qwen", request_id="req-1", depth=3)
    queue._perf_ns -= 2_000_000_000
    queue.admitted()

    span = spans.one("queue")
    assert attributes(span)["mlx.queue.depth"] == 3
    assert attributes(span)["mlx.queue.wait_seconds"] == pytest.approx(seconds(span))
    assert seconds(span) >= 2.0


def test_only_the_first_end_counts(spans: CapturedSpans) -> None:
    queue = otel.start_queue(model="qwen", request_id="req-1", depth=0)
    queue.admitted()
    queue.fail(Refused())
    queue.cancel()
    queue.admitted()
    chat = start_chat()
    chat.accepted(10, 4)
    stop(chat)
    stop(chat)
    chat.fail(Refused())
    chat.cancel()
    chat.accepted(1, 1)
    chat.generated()

    assert sorted(spans.names()) == ["chat qwen", "decode", "prefill", "queue"]
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.all())
    assert all("mlx.cancelled" not in attributes(span) for span in spans.all())


def test_only_the_first_acceptance_and_first_token_count(spans: CapturedSpans) -> None:
    chat = start_chat()
    chat.accepted(10, 4)
    chat.accepted(99, 99)
    chat.generated()
    first = chat._first_token_ns
    chat.generated()
    chat.cancel()

    assert attributes(spans.one("prefill"))["gen_ai.usage.input_tokens"] == 10
    assert spans.one("decode").start_time == first


def test_a_wall_clock_set_back_gives_no_negative_time(spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = start_chat()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    chat.accepted(10, 4)
    stop(chat)
    assert all(seconds(span) >= 0 for span in spans.all())


def test_a_span_that_is_not_recorded_does_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("work on a span that is not recording")

    monkeypatch.setattr(_operation.Operation, "_set", forbidden)
    monkeypatch.setattr(_operation.Operation, "_now", forbidden)
    monkeypatch.setattr(_operation.Operation, "_end", forbidden)
    monkeypatch.setattr(_operation._logger, "debug", forbidden)
    with capture_spans(ALWAYS_OFF) as spans:
        chat = start_chat(temperature=0.5)
        chat.accepted(10, 4)
        chat.generated()
        stop(chat)
        start_chat().fail(RuntimeError())
        otel.start_queue(model="qwen", request_id="req-1", depth=0).admitted()
        otel.start_queue(model="qwen", request_id="req-1", depth=0).cancel()

    assert spans.all() == []


def test_every_name_is_used_once() -> None:
    values = [getattr(names, name) for name in names.__all__ if name.isupper()]
    assert len(values) == len(set(values))
