"""The spans of speech, embeddings and other answers than chats: the tree, its times and its attributes."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

import otel
from otel import names
from otel.testing import CapturedSpans, capture_spans


class Refused(Exception):
    code = "timeout"


def start() -> otel.TaskSpan:
    return otel.start_task("speech", model="kokoro", request_id="req-1", attributes={"mlx.speech.speed": 1.0})


def test_a_task_is_named_for_its_operation_and_holds_the_engine_s_work(spans: CapturedSpans) -> None:
    task = start()
    task.accepted()
    task.first()
    task.child("sentence", 0.0, 0.0, {"mlx.speech.characters": 12})
    task.stop({"mlx.speech.samples": 600})

    speech, sentence = spans.one("speech kokoro"), spans.one("sentence")
    attributes = dict(speech.attributes or {})
    assert sentence.parent is not None
    assert speech.context is not None
    assert sentence.parent.span_id == speech.context.span_id
    assert attributes[names.GEN_AI_OPERATION_NAME] == "speech"
    assert attributes["mlx.speech.samples"] == 600
    assert attributes[names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] >= 0
    assert {attributes[names.REQUEST_ID], (sentence.attributes or {})[names.REQUEST_ID]} == {"req-1"}


@pytest.mark.parametrize(("begin", "seconds"), [(0.0, 1e9), (1e9, 1.0), (-5.0, -1.0), (float("nan"), float("inf"))])
def test_a_child_never_leaves_its_parent_whatever_the_engine_s_clock_says(
    spans: CapturedSpans, begin: float, seconds: float
) -> None:
    task = start()
    task.child("sentence", begin, seconds)
    task.stop()

    speech, sentence = spans.one("speech kokoro"), spans.one("sentence")
    assert speech.start_time is not None
    assert sentence.start_time is not None
    assert speech.end_time is not None
    assert sentence.end_time is not None
    assert speech.start_time <= sentence.start_time <= sentence.end_time <= speech.end_time


def test_a_failure_is_recorded_by_its_code_and_a_departure_as_one(spans: CapturedSpans) -> None:
    failed, left = start(), start()
    failed.fail(Refused("the text"))
    left.fail(asyncio.CancelledError())

    broken, cancelled = spans.all()
    assert broken.status.status_code is StatusCode.ERROR
    assert (broken.attributes or {})[names.ERROR_TYPE] == "timeout"
    assert cancelled.status.status_code is StatusCode.UNSET
    assert (cancelled.attributes or {})[names.CANCELLED] is True


def test_only_the_first_end_counts(spans: CapturedSpans) -> None:
    task = start()
    task.stop()
    task.child("late", 0.0, 0.0)
    task.fail(Refused())
    task.cancel()

    assert spans.names() == ["speech kokoro"]


def test_what_is_not_sampled_records_nothing() -> None:
    with capture_spans(ALWAYS_OFF) as spans:
        task = start()
        task.accepted()
        task.child("sentence", 0.0, 1.0)
        task.stop()
        assert spans.all() == []


def test_a_load_ends_as_its_block_does(spans: CapturedSpans) -> None:
    with otel.start_load(model="kokoro", request_id="req-1"):
        pass
    with pytest.raises(Refused), otel.start_load(model="kokoro", request_id="req-1"):
        raise Refused

    loaded, failed = spans.all()
    assert {loaded.name, failed.name} == {"load kokoro"}
    assert (loaded.status.status_code, failed.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
