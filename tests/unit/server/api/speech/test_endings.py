"""Speech that does not come to its end as planned: failures, clients that leave or are slow, and a server that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import server.streaming.unsent
from providers.errors import EngineCrashed, GenerationTimeout, QueueFull
from providers.speech.types import SpeechAccepted, SpeechEvent, SpeechFinished, SpeechRequest
from tests.unit.server.api.speech.speaking import FakeSpeech, begin, piece, speak, speaking
from tests.unit.server.harness import WAIT


async def crashing(_: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
    yield SpeechAccepted(2, 8)
    yield piece()
    raise EngineCrashed("the engine died under the request")


async def timed_out(_: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
    yield SpeechAccepted(2, 8)
    raise GenerationTimeout("the answer took longer than 1 seconds")


async def full(_: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
    raise QueueFull("100 requests wait already", retry_after=2.5)
    yield


async def endless(_: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
    yield SpeechAccepted(2, 8)
    yield piece()
    await asyncio.Future()


async def long_speech(_: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
    yield SpeechAccepted(2, 8)
    for number in range(LONG):
        yield piece(number * 12_000)
    yield SpeechFinished(LONG * 12_000, 0.2)


LONG = 60
"""Pieces of half a second."""
STREAMED: list[dict[str, Any]] = [
    {"response_format": "mp3"},
    {"response_format": "pcm"},
    {"response_format": "pcm", "stream_format": "sse"},
]
KINDS: list[dict[str, Any]] = [
    {"response_format": "mp3"},
    {"response_format": "pcm"},
    {"response_format": "flac"},
    {"include_visemes": True},
    {"stream_format": "sse"},
]


@pytest.mark.parametrize("fields", KINDS)
async def test_a_failure_before_the_first_sound_keeps_its_status(fields: dict[str, Any]) -> None:
    refused = await speak(speaking(FakeSpeech(script=full)), **fields)
    assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (429, "queue_full", "3")

    late = await speak(speaking(FakeSpeech(script=timed_out)), **fields)
    assert (late.status, late.error["code"]) == (504, "timeout")


@pytest.mark.parametrize("audio_format", ["mp3", "opus", "aac", "wav", "pcm"])
async def test_audio_that_fails_in_the_stream_breaks_the_connection(audio_format: str) -> None:
    speaker = FakeSpeech(script=crashing)
    answer = await speak(speaking(speaker), response_format=audio_format)

    assert answer.status == 200
    assert answer.body
    assert not answer.complete, "to end the body would say that all is well"
    assert speaker.closed.is_set()


async def test_events_that_fail_in_the_stream_end_with_an_error() -> None:
    answer = await speak(speaking(FakeSpeech(script=crashing)), stream_format="sse", response_format="pcm")
    delta, last = answer.chunks
    assert delta["type"] == "speech.audio.delta"
    assert last["error"]["code"] == "engine_crashed"


@pytest.mark.parametrize("fields", [{"include_visemes": True}, {"response_format": "flac"}])
async def test_a_whole_answer_that_fails_is_its_error(fields: dict[str, Any]) -> None:
    answer = await speak(speaking(FakeSpeech(script=crashing)), **fields)
    assert (answer.status, answer.error["code"]) == (503, "engine_crashed")


@pytest.mark.parametrize("fields", KINDS)
async def test_a_disconnect_closes_the_generator(fields: dict[str, Any]) -> None:
    speaker = FakeSpeech(script=endless)
    exchange = begin(speaking(speaker), **fields)
    await asyncio.wait_for(speaker.started.wait(), WAIT)

    exchange.disconnect()

    await asyncio.wait_for(speaker.closed.wait(), WAIT)
    await exchange.finished()
    assert not exchange.complete or exchange.status == 499


async def test_a_disconnect_of_a_client_that_reads_nothing_closes_the_generator() -> None:
    speaker = FakeSpeech(script=endless)
    exchange = begin(speaking(speaker), response_format="pcm")
    exchange.reads.clear()
    await asyncio.wait_for(speaker.started.wait(), WAIT)

    exchange.disconnect()

    await asyncio.wait_for(speaker.closed.wait(), WAIT)
    await exchange.finished()


@pytest.mark.parametrize("fields", STREAMED)
async def test_speech_gives_its_place_back_before_a_slow_client_has_read_it(fields: dict[str, Any]) -> None:
    speaker = FakeSpeech(script=long_speech)
    exchange = begin(speaking(speaker), **fields)
    exchange.reads.clear()

    await asyncio.wait_for(speaker.closed.wait(), WAIT)
    assert not exchange.complete

    exchange.reads.set()
    await exchange.finished()
    assert exchange.complete


async def test_a_bounded_part_of_speech_waits_for_a_slow_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.streaming.unsent, "MAX_UNSENT", 3 * len(piece().audio))
    made = 0

    async def counted(request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        nonlocal made
        async for event in long_speech(request):
            made += 1
            yield event

    exchange = begin(speaking(FakeSpeech(script=counted)), response_format="pcm")
    exchange.reads.clear()
    for _ in range(200):  # every other task has run many times
        await asyncio.sleep(0)
    assert made < 10

    exchange.reads.set()
    await exchange.finished()
    assert exchange.body == piece().audio * LONG


@pytest.mark.parametrize("fields", STREAMED)
async def test_a_client_that_takes_no_speech_loses_it(fields: dict[str, Any]) -> None:
    speaker = FakeSpeech(script=endless)
    exchange = begin(speaking(speaker, write_timeout=0.05), **fields)
    exchange.reads.clear()

    await asyncio.wait_for(speaker.closed.wait(), WAIT)
    await exchange.finished()
    assert not exchange.complete


@pytest.mark.parametrize("fields", KINDS)
async def test_the_end_of_the_grace_period_ends_speech(fields: dict[str, Any]) -> None:
    speaker = FakeSpeech(script=endless)
    app = speaking(speaker)
    exchange = begin(app, **fields)
    await asyncio.wait_for(speaker.started.wait(), WAIT)

    app.state.drain.begin()

    await exchange.finished()
    assert speaker.closed.is_set()
    if exchange.headers["content-type"].startswith("text/event-stream"):
        assert exchange.chunks[-1]["error"]["code"] == "model_not_ready"
    elif exchange.status == 200:
        assert not exchange.complete
    else:
        assert (exchange.status, exchange.error["code"]) == (503, "model_not_ready")
