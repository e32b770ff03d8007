"""Several engines of one model: who answers, what a death takes along, and what is known of each."""

import asyncio
import os
import signal
from contextlib import aclosing

import pytest

import otel
from otel.testing import capture_spans
from providers.errors import EngineCrashed, ModelNotReady
from providers.residency import Residency
from tests.unit.providers.chat.chats import PATIENCE, answer, ask, ready, starts, text, until


def pids(provider) -> list[int | None]:
    return [host.pid for host in provider.host.engines]


def states(provider) -> list[str]:
    return [state.status for state in provider.card.replicas]


def routed(provider) -> list[dict[str, int]]:
    """Of each replica: its requests by the reason for them, but for reasons that there were none of."""
    return [{why: count for why, count in state.routed.items() if count} for state in provider.card.replicas]


async def test_replicas_answer_together_and_are_named(serve):
    provider = await ready(await serve(max_concurrency=2))

    assert len(set(pids(provider))) == 2
    async with aclosing(provider.generate(ask("hold a"))) as a, aclosing(provider.generate(ask("hold b"))) as b:
        await anext(a)
        await anext(b)
        card = provider.card
        assert (card.status, card.detail) == ("ready", None)
        assert [(each.replica, each.status, each.active, each.device) for each in card.replicas] == [
            (0, "ready", 1, None),
            (1, "ready", 1, None),
        ]
    assert [each.active for each in provider.card.replicas] == [0, 0]
    assert routed(provider) == [{"load": 1}, {"load": 1}]
    reading = provider.reading()
    assert [(each.replica, each.ready, each.restarts) for each in reading.replicas] == [(0, True, 0), (1, True, 0)]
    assert reading.memory["rss"] == sum(each.memory["rss"] for each in reading.replicas)


async def test_one_queue_lets_in_what_all_replicas_have_places_for(serve):
    provider = await ready(await serve(max_concurrency=1))

    async with aclosing(provider.generate(ask("hold a"))) as a, aclosing(provider.generate(ask("hold b"))) as b:
        await anext(a)
        await anext(b)
        third = asyncio.create_task(text(provider, "say third"))
        await until(lambda: provider.queue_stats.pending == 1)
        await a.aclose()
        assert await asyncio.wait_for(third, PATIENCE) == "third"
    assert provider.queue_stats.active == 0


async def test_a_conversation_stays_with_its_replica(serve):
    provider = await ready(await serve())

    for name in "abcd":
        for turn in range(1, 4):
            await answer(provider, f"say {name} " + f"{name} " * turn * 300)

    assert routed(provider) == [{"load": 2, "prefix": 4}] * 2


async def test_requests_with_the_same_key_stay_together(serve):
    provider = await ready(await serve())

    for name in "abcd":
        await answer(provider, f"say {name}", cache_key="room")
    await answer(provider, "say e", cache_key="room", cache_salt="another")

    assert routed(provider) == [{"load": 1, "key": 3}, {"load": 1}]


async def test_the_span_of_a_request_names_its_replica(serve):
    provider = await ready(await serve())
    with capture_spans() as spans:
        with (span := otel.start_server_span("POST", "/v1/chat/completions", {})).use():
            await answer(provider, "say x")
        span.end()

    (server,) = (span for span in spans.all() if "mlx.replica" in span.attributes)
    assert (server.attributes["mlx.replica"], server.attributes["mlx.replica.route"]) == (0, "load")
    assert "replica.chosen" in [event.name for event in server.events]


async def test_a_death_takes_only_the_requests_of_its_replica(serve):
    provider = await ready(await serve(max_concurrency=1))

    async with aclosing(provider.generate(ask("hold a"))) as a, aclosing(provider.generate(ask("hold b"))) as b:
        for stream in (a, b):
            await anext(stream)
            await anext(stream)
        os.kill(pids(provider)[0], signal.SIGKILL)
        with pytest.raises(EngineCrashed, match="the engine of replica 0 of a died"):
            await anext(a)
        assert states(provider)[1] == "ready"
        await b.aclose()
        assert await text(provider, "say still here") == "stillhere"
    await until(lambda: states(provider) == ["ready", "ready"])
    assert (provider.host.engines[0].restarts, provider.host.engines[1].restarts) == (1, 0)
    assert provider.reading().restarts == 1
    assert "signal 9" in provider.host.engines[0].last_death


async def test_a_replica_that_died_has_no_conversations_any_more(serve):
    provider = await ready(await serve())
    conversation = "say a " + "a " * 300
    await answer(provider, conversation)
    os.kill(pids(provider)[0], signal.SIGKILL)
    await until(lambda: provider.host.engines[0].restarts == 1 and states(provider) == ["ready", "ready"])

    await answer(provider, conversation + "a " * 300)

    assert routed(provider) == [{"load": 1}, {"load": 1}]


async def test_without_any_replica_requests_are_refused(serve):
    provider = await ready(await serve(mode="broken_later"))
    for pid in pids(provider):
        os.kill(pid, signal.SIGKILL)
    await until(lambda: "ready" not in states(provider))

    with pytest.raises(ModelNotReady, match="a is restarting"):
        await answer(provider, "say x")
    with pytest.raises(ModelNotReady):
        await provider.detokenize([65])
    assert provider.card.status == "restarting"


async def test_questions_go_to_a_replica_that_can_answer(serve):
    provider = await ready(await serve(mode=["broken", "ready"]))

    assert await provider.detokenize([65, 66]) == "AB"


async def test_a_replica_that_cannot_be_loaded_leaves_the_others_alone(serve):
    provider = await ready(await serve(mode=["ready", "broken"]))

    assert provider.card.status == "ready"
    assert provider.card.detail == "1 of 2 replicas are ready: replica 1 is failed (no such folder)"
    assert await text(provider, "say x") == "x"


async def test_a_model_none_of_whose_replicas_can_be_loaded_fails(serve):
    provider = await serve(mode="broken")

    with pytest.raises(ModelNotReady, match="no such folder"):
        await asyncio.wait_for(provider.wait_ready(), PATIENCE)
    assert provider.card.status == "failed"


async def test_all_replicas_are_loaded_and_unloaded_together(serve):
    provider = await serve(lazy=True)

    assert (await text(provider, "say x"), len(starts(provider))) == ("x", 2)
    await asyncio.wait_for(provider.unload(), PATIENCE)
    assert (states(provider), pids(provider)) == (["unloaded"] * 2, [None, None])
    assert await text(provider, "say y") == "y"
    assert (states(provider), len(starts(provider))) == (["ready"] * 2, 4)


async def test_the_memory_of_all_replicas_counts(serve, monkeypatch):
    monkeypatch.setattr("providers.engine_host.provider.footprint", lambda pid, memory: 100 if pid else 0)
    provider = await ready(await serve())
    residency = Residency(1_000, estimate=lambda _: 1)
    provider.join(residency)
    residency._entries[provider].charge = 1

    await residency.check()

    assert residency.used == 200


async def test_a_request_for_many_answers_goes_where_they_have_places(serve):
    provider = await ready(await serve(max_concurrency=2))

    async with aclosing(provider.generate(ask("hold a"))) as a:
        await anext(a)
        assert sum(event.ends for event in await answer(provider, "twice", n=2)) == 2
    assert routed(provider) == [{"load": 1}, {"load": 1}]
