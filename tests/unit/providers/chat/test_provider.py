"""Chats through a fake engine in another process, which misbehaves in every way."""

import asyncio

import pytest

from providers.chat.types import Accepted, Finished, TextDelta, TextPrompt
from providers.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    GenerationTimeout,
    InvalidRequest,
    QueueFull,
    QueueTimeout,
)
from tests.unit.providers.chat.chats import (
    PATIENCE,
    answer,
    ask,
    ready,
    text,
    until,
)

# Answers


async def test_streams_the_engine_s_events_in_order(serve):
    provider = await ready(await serve())
    events = await answer(provider, "say one two three")
    assert events[0] == Accepted(3, 1)
    assert "".join(event.text for event in events[1:-1]) == "onetwothree"
    assert sum(event.tokens for event in events[1:-1]) == 3
    assert isinstance(events[-1], Finished)
    assert provider.queue_stats.completed == 1


async def test_the_card_has_what_the_engine_reported(serve):
    provider = await serve(context_length=100_000)
    assert provider.card.context_length is None
    await ready(provider)
    assert (provider.card.status, provider.card.context_length, provider.card.detail) == ("ready", 4096, None)


async def test_concurrent_answers_do_not_mix_though_they_share_an_id(serve):
    provider = await ready(await serve())
    said = await asyncio.gather(*(text(provider, f"say {n} and {n}") for n in range(20)))
    assert said == [f"{n}and{n}" for n in range(20)]


async def test_a_request_for_two_answers_ends_with_the_second_one_s_end(serve):
    provider = await ready(await serve())
    events = await answer(provider, "twice", n=2)
    said = {index: "".join(e.text for e in events if isinstance(e, TextDelta) and e.index == index) for index in (0, 1)}
    assert said == {0: "b", 1: "ac"}
    assert [(e.index, e.finish_reason) for e in events if isinstance(e, Finished)] == [(0, "stop"), (1, "length")]
    assert await text(provider, "cancelled?") == ""


async def test_the_engine_s_refusal_arrives_with_its_class_and_field(serve):
    provider = await ready(await serve())
    with pytest.raises(ContextLengthExceeded, match="too long") as caught:
        await answer(provider, "refuse")
    assert caught.value.param == "messages"
    assert (provider.queue_stats.active, provider.queue_stats.failed) == (0, 1)


@pytest.mark.parametrize(("prompt", "limit"), [("say \ud800", None), ("say x", 10**80)])
async def test_what_cannot_be_sent_is_a_bad_request(serve, prompt: str, limit: int | None):
    provider = await ready(await serve())
    with pytest.raises(InvalidRequest):
        await answer(provider, prompt, max_tokens=limit)
    assert await text(provider, "say x") == "x"


async def test_a_slow_reader_costs_no_more_memory_than_its_text_and_stalls_no_other(serve):
    provider = await ready(await serve())
    slow = provider.generate(ask("many 10000"))
    assert await anext(slow) == Accepted(3, 0)
    assert await text(provider, "say meanwhile") == "meanwhile"
    rest = [event async for event in slow]
    assert len(rest) <= 3
    assert sum(len(event.text) for event in rest[:-1]) == 1_000_000
    assert sum(event.tokens for event in rest[:-1]) == 10_000


# Ends before the end


async def test_closing_the_stream_cancels_in_the_engine_before_the_next_request(serve):
    provider = await ready(await serve(max_concurrency=1, queue_size=0))
    stream = provider.generate(ask("hold", id="gone"))
    assert [await anext(stream), await anext(stream)] == [Accepted(3, 0), TextDelta("held")]
    with pytest.raises(QueueFull):
        await answer(provider, "say busy")
    await stream.aclose()
    assert (await text(provider, "cancelled?")).startswith("gone")
    assert (provider.queue_stats.active, provider.queue_stats.cancelled) == (0, 1)


async def test_cancelling_the_reader_cancels_in_the_engine(serve):
    provider = await ready(await serve(max_concurrency=1))
    reader = asyncio.create_task(answer(provider, "hold", id="gone"))
    waiting = asyncio.create_task(text(provider, "cancelled?"))
    await until(lambda: provider.queue_stats.pending == 1)
    reader.cancel()
    assert (await waiting).startswith("gone")


async def test_a_finished_answer_is_not_cancelled(serve):
    provider = await ready(await serve())
    await answer(provider, "say done")
    assert await text(provider, "cancelled?") == ""


async def test_a_silent_engine_cannot_outlast_the_timeout(serve):
    provider = await ready(await serve())
    with pytest.raises(GenerationTimeout, match=r"0\.05 seconds"):
        await answer(provider, "hold", timeout=0.05)
    assert (await text(provider, "cancelled?")).startswith("r")


async def test_the_end_of_a_timely_answer_is_not_lost_to_a_slow_reader(serve):
    provider = await ready(await serve())
    stream = provider.generate(ask("say a b", timeout=1))
    await anext(stream)
    await text(provider, "say after")
    await asyncio.sleep(1.05)
    assert isinstance([event async for event in stream][-1], Finished)


async def test_events_under_way_to_a_cancelled_answer_do_not_reach_the_next_of_its_id(serve):
    provider = await ready(await serve())
    stream = provider.generate(ask("many 10", id="same"))
    await anext(stream)
    await stream.aclose()
    assert "x" not in "".join(e.text for e in await answer(provider, "say b", id="same") if isinstance(e, TextDelta))


# Tokens


async def test_the_engine_tokenises_beside_its_answers(serve):
    provider = await ready(await serve(max_concurrency=1))
    stream = provider.generate(ask("hold"))
    assert await anext(stream) == Accepted(3, 0)
    async with asyncio.timeout(PATIENCE):
        assert await provider.tokenize(TextPrompt("hi")) == [104, 105]
        assert await provider.detokenize([104, 105]) == "hi"
        assert await provider.token_strings([104, 105]) == ["h", "i"]
    await stream.aclose()


async def test_a_question_has_a_deadline(serve):
    provider = await ready(await serve(queue_timeout=0.05))
    with pytest.raises(QueueTimeout, match=r"fake did not answer within 0.05 seconds"):
        await asyncio.wait_for(provider.tokenize(TextPrompt("hold")), PATIENCE)


async def test_as_many_questions_wait_as_requests(serve):
    provider = await ready(await serve(max_concurrency=1, queue_size=1))
    held = [asyncio.create_task(provider.tokenize(TextPrompt("hold"))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await provider.tokenize(TextPrompt("hi"))
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    assert await provider.tokenize(TextPrompt("hi")) == [104, 105]


async def test_a_question_ends_with_the_engine_that_was_asked(serve):
    provider = await ready(await serve())
    held = asyncio.ensure_future(provider.tokenize(TextPrompt("hold")))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(InvalidRequest):
            await provider.tokenize(TextPrompt("refuse"))
        with pytest.raises(EngineCrashed):
            await provider.tokenize(TextPrompt("crash"))
        with pytest.raises(EngineCrashed):
            await held
        await provider.wait_ready()
        assert await provider.tokenize(TextPrompt("hi")) == [104, 105]
