"""Loading an engine, unloading it, and loading it again."""

import asyncio
from contextlib import aclosing

import pytest

from providers.chat.types import TextPrompt
from providers.errors import DoesNotFit, EngineCrashed, ModelNotReady
from providers.residency import Residency
from tests.unit.providers.chat.chats import PATIENCE, alive, answer, ask, ready, starts, status, text, until


async def within(work):
    return await asyncio.wait_for(work, PATIENCE)


async def test_unloading_ends_the_process_and_the_next_request_loads_again(serve):
    provider = await ready(await serve())
    (first,) = starts(provider)

    await within(provider.unload())
    assert (provider.card.status, provider.host.pid, alive(first)) == ("unloaded", None, False)
    assert provider.card.context_length == 4096, "it is still known"

    assert await text(provider, "say again") == "again"
    assert (provider.card.status, len(starts(provider))) == ("ready", 2)


async def test_unloading_and_loading_may_be_repeated(serve):
    provider = await ready(await serve())
    for count in range(3):
        await within(provider.unload())
        await within(provider.unload())
        await within(provider.load())
        await within(provider.load())
        assert len(starts(provider)) == count + 2
    assert await text(provider, "say back") == "back"


async def test_an_engine_ends_in_order_when_it_is_unloaded(serve, tmp_path):
    provider = await ready(await serve())
    await within(provider.unload())
    assert (tmp_path / "starts.ended").read_text() == "by itself"


async def test_a_hundred_first_requests_load_once_and_are_all_answered(serve):
    provider = await serve(lazy=True)
    said = await within(asyncio.gather(*(text(provider, f"say {number}") for number in range(100))))
    assert said == [str(number) for number in range(100)]
    assert len(starts(provider)) == 1


async def test_a_hundred_questions_and_requests_after_an_unload_load_once(serve):
    provider = await ready(await serve())
    await within(provider.unload())
    questions = [provider.tokenize(TextPrompt("ab")) for _ in range(50)]
    said = await within(asyncio.gather(*questions, *(text(provider, "say x") for _ in range(50))))
    assert said == [[97, 98]] * 50 + ["x"] * 50
    assert len(starts(provider)) == 2


async def test_unloading_waits_for_the_answer_and_holds_up_the_next_request(serve):
    provider = await ready(await serve())
    async with aclosing(provider.generate(ask("hold"))) as stream:
        await anext(stream)
        unloading = asyncio.create_task(provider.unload())
        late = asyncio.create_task(text(provider, "say late"))
        await until(lambda: provider.queue_stats.active == 2)
        assert (provider.card.status, unloading.done(), late.done()) == ("ready", False, False)
        # A question of an answer that goes on is answered.
        assert await within(provider.tokenize(TextPrompt("a"))) == [97]
    await within(unloading)
    assert await within(late) == "late"
    assert len(starts(provider)) == 2


async def test_the_load_goes_on_without_the_client_that_began_it(serve):
    provider = await serve("slow", lazy=True)
    first = asyncio.create_task(text(provider, "say x"))
    await status(provider, "loading")
    first.cancel()
    await asyncio.wait({first})
    assert provider.queue_stats.active == 0
    await status(provider, "ready")
    assert await text(provider, "say y") == "y"
    assert len(starts(provider)) == 1


async def test_a_load_that_only_its_client_wished_for_can_be_unloaded(serve):
    provider = await serve("hang", lazy=True)
    provider.begin_load()
    await status(provider, "loading", "reading weights")
    assert provider.card.progress == 0.5
    await within(provider.unload())
    assert (provider.card.status, provider.card.progress) == ("unloaded", None)
    assert not [pid for pid in starts(provider) if alive(pid)]


async def test_a_load_that_fails_fails_all_that_wait_for_it(serve):
    provider = await serve("broken", lazy=True)
    results = await within(asyncio.gather(*(text(provider, "say x") for _ in range(5)), return_exceptions=True))
    assert {(type(result), str(result)) for result in results} == {
        (ModelNotReady, "fake cannot be loaded: no such folder")
    }
    assert len({id(result) for result in results}) == 5
    assert len(starts(provider)) == 1


async def test_what_cannot_be_loaded_again_fails_instead_of_restarting_for_ever(serve):
    provider = await ready(await serve("broken_later"))
    await within(provider.unload())
    with pytest.raises(ModelNotReady, match="no such folder"):
        await within(provider.load())
    assert (provider.card.status, len(starts(provider))) == ("failed", 2)


async def test_an_engine_that_was_loaded_again_is_restarted_when_it_dies(serve):
    provider = await ready(await serve())
    await within(provider.unload())
    await within(provider.load())
    with pytest.raises(EngineCrashed):
        await answer(provider, "crash")
    await ready(provider)
    assert await text(provider, "say up") == "up"
    assert len(starts(provider)) == 3


async def test_unloading_while_it_restarts_starts_no_more(serve):
    provider = await ready(await serve())
    with pytest.raises(EngineCrashed):
        await answer(provider, "crash")
    await within(provider.unload())
    assert provider.card.status == "unloaded"
    assert "engine fake" not in {task.get_name() for task in asyncio.all_tasks()}, "nothing would start another"


async def test_stop_is_final(serve):
    provider = await ready(await serve())
    await within(provider.unload())
    await within(provider.stop())
    await within(provider.unload())
    for work in (provider.load(), text(provider, "say x")):
        with pytest.raises(ModelNotReady, match="shutting down"):
            await within(work)
    with pytest.raises(ModelNotReady, match="shutting down"):
        provider.begin_load()
    assert (provider.card.status, len(starts(provider))) == ("stopped", 1)


async def test_a_drain_ends_a_load_and_refuses_what_waits_for_it(serve):
    provider = await serve("hang", lazy=True)
    waiting = [asyncio.create_task(text(provider, "say x")) for _ in range(3)]
    await status(provider, "loading", "reading weights")
    provider.begin_drain()
    for task in waiting:
        with pytest.raises(ModelNotReady, match="shutting down"):
            await within(task)
    await until(lambda: not [pid for pid in starts(provider) if alive(pid)])


async def test_a_drain_lets_a_loaded_model_answer(serve):
    provider = await ready(await serve())
    async with aclosing(provider.generate(ask("hold"))) as stream:
        await anext(stream)
        provider.begin_drain()
        assert provider.card.status == "ready"
        assert await within(provider.tokenize(TextPrompt("a"))) == [97]


async def test_a_request_may_be_refused_instead_of_waiting_for_the_load(serve):
    provider = await serve("slow", lazy=True, load_policy="refuse")
    with pytest.raises(ModelNotReady, match="fake is loading") as caught:
        await answer(provider, "say x")
    assert caught.value.retry_after >= 1
    assert provider.queue_stats.rejected == 1
    await status(provider, "ready")
    assert await text(provider, "say x") == "x"
    assert len(starts(provider)) == 1


async def test_a_load_that_failed_is_reported_once_and_then_tried_again(serve):
    provider = await serve("broken_once", lazy=True, load_policy="refuse")
    with pytest.raises(ModelNotReady, match="loading"):
        await answer(provider, "say x")
    await status(provider, "failed")
    with pytest.raises(ModelNotReady, match="no such folder"):
        await answer(provider, "say x")
    with pytest.raises(ModelNotReady, match="loading"):
        await answer(provider, "say x")
    await status(provider, "ready")


async def test_a_model_loaded_at_start_that_does_not_fit_is_failed_with_the_numbers(serve):
    provider = await serve(lazy=True)
    small = Residency(1_000, estimate=lambda _: 2_000_000_000)
    provider.join(small)
    with pytest.raises(DoesNotFit, match=r"fake needs 2\.00 GB"):
        await answer(provider, "say x")
    assert (provider.card.status, starts(provider)) == ("unloaded", [])
    assert "needs 2.00 GB" in provider.card.detail


async def test_a_model_that_does_not_fit_stays_failed_where_it_is_started_twice(serve):
    provider = await ready(await serve())
    await within(provider.unload())
    provider.join(Residency(1_000, estimate=lambda _: 2_000_000_000))
    await provider.start()
    await status(provider, "failed")
    await provider.start()
    with pytest.raises(DoesNotFit, match=r"fake needs 2\.00 GB"):
        await within(provider.wait_ready())
    assert provider.card.status == "failed"
    assert "needs 2.00 GB" in provider.card.detail


async def test_two_models_take_turns_in_a_budget_for_one(serve):
    shared = Residency(1_500, estimate=lambda _: 1_000)
    models = [await serve(lazy=True), await serve(lazy=True)]
    for model in models:
        model.footprint = lambda: 1_000
        model.join(shared)
    for _ in range(2):
        for model, other in (models, models[::-1]):
            assert await text(model, "say x") == "x"
            assert (model.card.status, other.card.status) == ("ready", "unloaded")
    assert sum(model.host.starts for model in models) == 4
