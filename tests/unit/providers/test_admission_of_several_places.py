"""Requests for several places, and queues whose number of places changes."""

import asyncio

import pytest

from tests.unit.providers.queues import queue, settle


async def test_a_request_for_several_places_takes_all_or_none():
    places = queue(at_once=4)
    three = await places.admit(3)
    two = asyncio.ensure_future(places.admit(2))
    await settle()
    assert not two.done()
    with three:
        pass
    await settle()
    with await two:
        assert (places.active, places.pending) == (1, 0)
        with await places.admit(2):
            late = asyncio.ensure_future(places.admit())
            await settle()
            assert not late.done()
    with await late:
        pass
    assert places.stats.completed == 4


async def test_no_request_overtakes_one_for_many_places():
    places = queue(at_once=2)
    first = await places.admit()
    many = asyncio.ensure_future(places.admit(2))
    await settle()
    one = asyncio.ensure_future(places.admit())
    await settle()
    assert (many.done(), one.done(), places.active) == (False, False, 1)
    with first:
        pass
    await settle()
    assert (many.done(), one.done()) == (True, False)
    with await many:
        pass
    with await one:
        pass


@pytest.mark.parametrize("leave", ["cancelled", "timed out"])
async def test_those_behind_a_request_for_many_places_go_on_when_it_gives_up(leave: str):
    places = queue(at_once=2, timeout=0.01 if leave == "timed out" else 60)
    await places.admit()
    many = asyncio.ensure_future(places.admit(2))
    await settle()
    if leave == "timed out":
        places._queue_timeout = 60
    one = asyncio.ensure_future(places.admit())
    await settle()
    if leave == "cancelled":
        many.cancel()
    async with asyncio.timeout(30):
        await one
    assert many.done()
    await asyncio.gather(many, return_exceptions=True)
    assert (places.active, places.pending) == (2, 0)


async def test_more_places_than_there_are_can_never_be_had():
    with pytest.raises(ValueError, match="1 to 2 places, not 3"):
        await queue(at_once=2).admit(3)


async def test_more_places_admit_those_that_wait_and_fewer_wait_for_the_taken_ones():
    places = queue(at_once=1)
    first = await places.admit()
    waiting = [asyncio.ensure_future(places.admit()) for _ in range(2)]
    await settle()

    places.resize(max_concurrency=3, queue_size=10, queue_timeout=60.0)
    await settle()
    assert (places.taken, places.pending) == (3, 0)

    places.resize(max_concurrency=2, queue_size=0, queue_timeout=60.0)
    with first:
        pass
    assert (places.taken, places.full) == (2, True)
    for slot in waiting:
        with slot.result():
            pass
    assert places.taken == 0
