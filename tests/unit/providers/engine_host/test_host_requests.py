"""Requests and questions that the host sends to a ready engine."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider

from providers.chat.types import Accepted, Finished, TextDelta, TextPrompt, Usage
from providers.engine_host.frames import (
    Beat,
    Cancel,
    Detokenize,
    Detokenized,
    Failed,
    Generate,
    Load,
    Locate,
    Located,
    Memory,
    Tokenize,
    Tokenized,
)
from providers.engine_host.host import EngineHost
from providers.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    InvalidRequest,
    ModelNotReady,
    QueueFull,
    QueueTimeout,
)
from tests.unit.providers.engine_host.clock import later, now, quiet
from tests.unit.providers.engine_host.in_memory import Engine, Engines, ask, opened

FINISHED = Finished("stop", Usage(1, 1), 0.0, 0.0)
QUESTION = Tokenize("", TextPrompt("hi"))


async def asked(host: EngineHost, engine: Engine) -> tuple[asyncio.Task[object], str]:
    """A question that waits for its answer, and its id."""
    before = len(engine.sent)
    task = asyncio.create_task(host.ask(QUESTION))
    await quiet()
    (question,) = engine.sent[before:]
    assert isinstance(question, Tokenize)
    return task, question.id


# Requests


async def test_a_request_is_sent_with_an_id_of_its_own(engines: Engines):
    host = await engines.ready()
    opened(host, "r")
    opened(host, "r")
    opened(host, "s")
    sent = [command.request for command in engines[0].sent if isinstance(command, Generate)]
    assert [request.prompt for request in sent] == [TextPrompt("hi")] * 3
    ids = [request.id for request in sent]
    assert ids == ["r#1", "r#2", "s#3"]


async def test_a_request_carries_the_trace_of_its_caller(engines: Engines):
    host = await engines.ready()
    opened(host)
    with TracerProvider().get_tracer("test").start_as_current_span("caller") as span:
        opened(host)
    first, second = engines[0].sent
    assert first.trace is None
    context = span.get_span_context()
    assert second.trace.startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")


async def test_events_reach_the_mailbox_of_their_request(engines: Engines):
    host = await engines.ready()
    first, second = opened(host, "a"), opened(host, "b")
    engines[0].events(("b#2", Accepted(1, 0)), ("a#1", Accepted(2, 0)), ("c#3", Accepted(3, 0)), ("b#2", FINISHED))
    assert [event async for event in second] == [Accepted(1, 0), FINISHED]
    assert await anext(first) == Accepted(2, 0)


async def test_a_request_that_the_engine_refuses_gets_the_error(engines: Engines):
    host = await engines.ready()
    mailbox = opened(host)
    engines[0].report(Failed("r#1", "context_length_exceeded", "too long", "messages", 3.0))
    with pytest.raises(ContextLengthExceeded) as caught:
        await anext(mailbox)
    assert (caught.value.message, caught.value.param, caught.value.retry_after) == ("too long", "messages", 3.0)


async def test_a_mailbox_that_closes_early_cancels_its_request_once(engines: Engines):
    host = await engines.ready()
    mailbox = opened(host)
    engines[0].events(("r#1", Accepted(1, 0)))
    engines[0].sent.clear()
    mailbox.close()
    mailbox.close()
    assert engines[0].sent == [Cancel("r#1")]
    engines[0].events(("r#1", TextDelta("late")))
    assert await anext(mailbox) == Accepted(1, 0)
    with pytest.raises(StopAsyncIteration):
        await anext(mailbox)


async def test_a_mailbox_that_closes_after_the_end_cancels_nothing(engines: Engines):
    host = await engines.ready()
    answered, refused = opened(host), opened(host)
    engines[0].events(("r#1", FINISHED))
    engines[0].report(Failed("r#2", "internal_error", "no"))
    engines[0].sent.clear()
    answered.close()
    refused.close()
    assert engines[0].sent == []


async def test_a_mailbox_that_closes_after_its_engine_died_cancels_nothing(engines: Engines):
    host = await engines.ready()
    mailbox = opened(host)
    engines[0].die()
    await later(10)
    engines[1].ready()
    mailbox.close()
    assert [type(command) for command in engines[1].sent] == [Load]


@pytest.mark.parametrize("prompt", ["\ud800", "x" * 65 * 2**20], ids=["not Unicode", "over the bound of a frame"])
async def test_a_request_that_cannot_be_sent_is_refused_and_forgotten(engines: Engines, prompt: str):
    host = await engines.ready()
    with pytest.raises(InvalidRequest, match=r"^the request cannot be sent to the engine: "):
        host.open(ask(prompt=TextPrompt(prompt)), lambda on_close: pytest.fail("it has no mailbox"))
    opened(host)
    assert engines[0].sent[-1].request.id == "r#2"


async def test_a_seed_over_64_bits_is_refused(engines: Engines):
    host = await engines.ready()
    with pytest.raises(InvalidRequest, match="cannot be sent") as caught:
        host.open(ask(max_tokens=2**64), lambda on_close: pytest.fail("it has no mailbox"))
    assert caught.value.__cause__ is not None


async def test_an_engine_that_stopped_reading_gets_no_request(engines: Engines):
    host = await engines.ready()
    engines[0].accepts = False
    with pytest.raises(ModelNotReady) as caught:
        opened(host)
    assert (caught.value.message, caught.value.retry_after) == ("the engine of fake does not answer", 2.0)


async def test_an_engine_that_loads_gets_no_request(engines: Engines):
    host = await engines.loading()
    engines[0].sent.clear()
    with pytest.raises(ModelNotReady, match=r"^fake is loading$"):
        opened(host)
    with pytest.raises(ModelNotReady, match=r"^fake is loading$"):
        await host.ask(QUESTION)
    assert engines[0].sent == []


# Questions


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (QUESTION, Tokenized("?1", [1, 2])),
        (Detokenize("", [1, 2]), Detokenized("?1", ["hi"])),
        (Locate("", "hi"), Located("?1", [0, 1], 510)),
    ],
    ids=["tokenize", "detokenize", "locate"],
)
async def test_a_question_gets_its_answer(engines: Engines, question: Tokenize, answer: Tokenized):
    host = await engines.ready()
    task = asyncio.create_task(host.ask(question))
    await quiet()
    assert [command.id for command in engines[0].sent] == ["?1"]
    engines[0].report(answer)
    assert await task == answer


async def test_answers_find_their_questions_in_any_order(engines: Engines):
    host = await engines.ready()
    (first, one), (second, two) = await asked(host, engines[0]), await asked(host, engines[0])
    assert (one, two) == ("?1", "?2")
    opened(host)
    assert engines[0].sent[-1].request.id == "r#3"
    engines[0].report(Tokenized(two, [2]))
    engines[0].report(Tokenized(one, [1]))
    assert await asyncio.gather(first, second) == [Tokenized(one, [1]), Tokenized(two, [2])]


async def test_a_question_that_the_engine_refuses_raises_the_error(engines: Engines):
    host = await engines.ready()
    task, key = await asked(host, engines[0])
    engines[0].report(Failed(key, "invalid_request_error", "no", "prompt"))
    with pytest.raises(InvalidRequest, match=r"^no$"):
        await task


async def test_as_many_questions_wait_as_requests_may(engines: Engines):
    host = await engines.ready(max_concurrency=1, queue_size=2)
    waiting = [await asked(host, engines[0]) for _ in range(3)]
    with pytest.raises(QueueFull) as caught:
        await host.ask(QUESTION)
    assert (caught.value.message, caught.value.retry_after) == ("3 questions wait for fake", 1.0)
    assert len(engines[0].sent) == 3
    engines[0].report(Tokenized(waiting[0][1], []))
    await waiting[0][0]
    await asked(host, engines[0])
    for task, _ in waiting:
        task.cancel()


async def test_a_caller_that_leaves_gives_the_place_of_its_question_back(engines: Engines):
    host = await engines.ready(max_concurrency=1, queue_size=0)
    task, late = await asked(host, engines[0])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    task, key = await asked(host, engines[0])
    engines[0].report(Tokenized(late, []))
    engines[0].report(Tokenized(key, [7]))
    assert await task == Tokenized(key, [7])


@pytest.mark.parametrize(
    ("queue_timeout", "patience", "words"), [(2.5, 2.5, "2.5"), (300.0, 60.0, "60")], ids=["the model's", "a minute"]
)
async def test_a_question_is_not_waited_for_without_end(
    engines: Engines, queue_timeout: float, patience: float, words: str
):
    host = await engines.ready(queue_timeout=queue_timeout, max_concurrency=1, queue_size=0)
    task, _ = await asked(host, engines[0])
    with pytest.raises(QueueTimeout) as caught:
        await task
    assert now() == pytest.approx(patience, abs=0.01)
    assert (caught.value.message, caught.value.retry_after) == (f"fake did not answer within {words} seconds", 2.0)
    assert caught.value.__suppress_context__
    await asked(host, engines[0])  # its place is free again


async def test_a_question_whose_engine_dies_fails(engines: Engines):
    host = await engines.ready()
    task, _ = await asked(host, engines[0])
    engines[0].die()
    with pytest.raises(EngineCrashed, match=r"^the engine of fake died during the request$"):
        await task


async def test_a_question_whose_host_stops_fails(engines: Engines):
    host = await engines.ready()
    task, _ = await asked(host, engines[0])
    await host.stop()
    with pytest.raises(ModelNotReady, match=r"^the server is shutting down$"):
        await task


# What an engine reports by itself


async def test_the_latest_report_of_memory_is_kept_while_the_engine_runs(engines: Engines):
    host = await engines.ready()
    engines[0].report(Memory(1, 2, 3, 4))
    engines[0].report(Memory(5, 6, 7, 8))
    assert host.memory == Memory(5, 6, 7, 8)
    engines[0].die()
    await quiet()
    assert host.memory is None


async def test_beats_reach_the_watchdog_of_the_running_engine(engines: Engines):
    host = await engines.ready()
    engines[0].die()
    await later(10)
    beat = Beat("idle", 1, 2, False)
    engines[1].report(beat)
    assert engines.watchdogs[-1].beats == [beat]
    assert host.status == "restarting"
