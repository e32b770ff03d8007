"""Who is admitted, in which order, and that no place is ever lost."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import ModelNotReady, QueueFull, QueueTimeout, ServiceError
from tests.unit.providers.queues import queue, settle


async def test_serves_first_come_first_served():
    places, order = queue(at_once=2), []

    async def visit(name: int) -> None:
        with await places.admit():
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(*(visit(name) for name in range(10)))
    assert order == list(range(10))
    assert places.stats.completed == 10


async def test_a_late_request_does_not_take_the_place_of_a_waiting_one():
    places = queue()
    first = await places.admit()
    waiting = asyncio.ensure_future(places.admit())
    await settle()
    with first:
        pass
    late = asyncio.ensure_future(places.admit())
    await settle()
    assert waiting.done()
    assert not late.done()
    late.cancel()


async def test_a_full_queue_refuses_immediately_with_retry_after():
    places = queue(waiting=1)
    await places.admit()
    waiting = asyncio.ensure_future(places.admit())
    await settle()
    with pytest.raises(QueueFull) as caught:
        await places.admit()
    assert 1 <= caught.value.retry_after <= 60
    assert (places.stats.active, places.stats.pending, places.stats.rejected) == (1, 1, 1)
    waiting.cancel()


@pytest.mark.parametrize(
    ("answers", "seconds"),
    [((), 1.0), ((0.2, 0.4), 1.0), ((2.0, 4.0), 3.0), ((50.0, 100.0), 60.0), ((500.0, *(10.0,) * 256), 10.0)],
    ids=["no answer yet", "fast ones", "the mean", "slow ones", "recent ones only"],
)
@pytest.mark.parametrize("waits", [False, True])
async def test_retry_after_is_the_pace_of_recent_answers(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[float, ...], seconds: float, waits: bool
):
    now = 1000.0
    monkeypatch.setattr("providers.admission.monotonic", lambda: now)
    places = queue(waiting=int(waits), timeout=0)
    for answer in answers:
        with await places.admit():
            now += answer
    with await places.admit(), pytest.raises(QueueTimeout if waits else QueueFull) as caught:
        await places.admit()
    assert caught.value.retry_after == pytest.approx(seconds)


async def test_without_a_queue_only_a_free_place_will_do():
    places = queue(waiting=0)
    slot = await places.admit()
    with pytest.raises(QueueFull):
        await places.admit()
    with slot:
        pass
    with await places.admit():
        assert places.active == 1


@pytest.mark.parametrize("waiting", [0, 1])
async def test_it_is_full_exactly_when_it_refuses(waiting: int):
    places = queue(waiting=waiting)
    assert not places.full
    slot = await places.admit()
    tasks = [asyncio.ensure_future(places.admit()) for _ in range(waiting)]
    assert places.full == (waiting == 0)
    await settle()

    assert places.full
    with pytest.raises(QueueFull):
        await places.admit()
    with pytest.raises(QueueFull):
        places.refuse_full()
    assert places.stats.rejected == 2

    with slot:
        pass
    for task in tasks:
        with await task:
            pass
    assert not places.full


async def test_a_queue_that_drains_is_not_full():
    places = queue(waiting=0)
    await places.admit()
    places.begin_drain()
    assert not places.full


async def test_a_wait_that_is_too_long_ends_with_its_own_error():
    places = queue(timeout=0.01)
    slot = await places.admit()
    with pytest.raises(QueueTimeout, match=r"0\.01 seconds"):
        await places.admit()
    with slot:
        pass
    assert (places.stats.active, places.stats.pending, places.stats.rejected) == (0, 0, 1)


async def test_a_cancelled_wait_makes_room_in_the_queue():
    places = queue(waiting=1)
    slot = await places.admit()
    waiting = asyncio.ensure_future(places.admit())
    await settle()
    waiting.cancel()
    second = asyncio.ensure_future(places.admit())
    await settle()
    with slot:
        pass
    with await second:
        assert places.stats.cancelled == 1


async def test_a_cancelled_wait_makes_room_before_its_task_has_run():
    places = queue(waiting=1)
    slot = await places.admit()
    waiting = asyncio.ensure_future(places.admit())
    await settle()
    waiting.cancel()
    asyncio.get_running_loop().call_soon(slot.__exit__, None, None, None)
    with await places.admit():
        assert places.stats.rejected == 0


async def test_a_place_given_in_the_step_of_the_cancellation_goes_to_the_next():
    places = queue()
    slot = await places.admit()
    cancelled = asyncio.ensure_future(places.admit())
    lucky = asyncio.ensure_future(places.admit())
    await settle()
    with slot:
        pass
    cancelled.cancel()
    with await asyncio.wait_for(lucky, 30):
        assert places.active == 1
    assert cancelled.cancelled()
    assert places.active == 0


async def test_drain_refuses_waiting_requests_and_lets_the_admitted_end():
    places = queue()
    slot = await places.admit()
    waiting = asyncio.ensure_future(places.admit())
    await settle()
    places.begin_drain()
    places.begin_drain()
    for request in (waiting, places.admit()):
        with pytest.raises(ModelNotReady):
            await request
    with slot:
        assert places.active == 1
    assert (places.stats.active, places.stats.completed, places.stats.rejected) == (0, 1, 2)


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (None, "completed"),
        (ServiceError("no"), "failed"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
    ],
)
async def test_counts_a_request_by_how_it_ended(error: BaseException | None, counted: str):
    places = queue()
    slot = await places.admit()
    slot.__exit__(type(error) if error else None, error, None)
    slot.__exit__(None, None, None)
    stats = places.stats
    assert {name: getattr(stats, name) for name in ("completed", "failed", "cancelled")} == {
        "completed": 0, "failed": 0, "cancelled": 0, counted: 1,
    }  # fmt: skip
    assert stats.active == 0


async def test_reports_waits_and_services_in_seconds():
    places = queue()
    with await places.admit():
        waiting = asyncio.ensure_future(places.admit())
        await asyncio.sleep(0.02)
    with await waiting:
        pass
    stats = places.stats
    assert 0.015 < stats.wait_seconds_max < 10
    assert stats.wait_seconds_max / 2 <= stats.wait_seconds_mean < stats.wait_seconds_max
    assert 0.015 < stats.service_seconds_max < 10


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    at_once=st.integers(1, 4),
    waiting=st.integers(0, 6),
    timeout=st.sampled_from([0.0, 0.0005, 60.0]),
    drain_at=st.none() | st.integers(0, 40),
)
def test_no_interleaving_admits_too_many_or_loses_a_place(seed, at_once, waiting, timeout, drain_at):
    chance = random.Random(seed)
    places = queue(at_once=at_once, waiting=waiting, timeout=timeout)
    inside: dict[int, int] = {}
    admitted: list[int] = []

    async def visit(name: int) -> None:
        wanted = 1 + name % at_once
        with await places.admit(wanted):
            inside[name] = wanted
            admitted.append(name)
            try:
                assert sum(inside.values()) <= at_once
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                if chance.random() < 0.2:
                    raise ServiceError("failed")
            finally:
                del inside[name]

    async def play() -> list[BaseException | None]:
        tasks: list[asyncio.Task[None]] = []
        for step in range(50):
            tasks.append(asyncio.create_task(visit(step)))
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
                assert places.active <= at_once
                assert places.pending <= waiting
            if chance.random() < 0.4:
                chance.choice(tasks).cancel()
            if step == drain_at:
                places.begin_drain()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)

    results = asyncio.run(play())
    stats = places.stats
    assert (stats.active, stats.pending) == (0, 0)
    # With several places, who was given one may run a step after a later request that found another one free.
    if at_once == 1:
        assert admitted == sorted(admitted)
    assert not [r for r in results if r is not None and not isinstance(r, (ServiceError, asyncio.CancelledError))]
    assert stats.completed == results.count(None)
    counted = stats.completed + stats.failed + stats.cancelled + stats.rejected
    assert counted <= 50  # a task cancelled before its first step never came to the queue
    assert stats.failed == sum(type(r) is ServiceError for r in results)
    assert stats.rejected == sum(isinstance(r, (QueueFull, QueueTimeout, ModelNotReady)) for r in results)


@pytest.mark.parametrize("bounds", [(0, 1, 1.0), (1, -1, 1.0), (1, 1, -1.0)])
def test_bounds_that_no_queue_can_have_are_refused(bounds: tuple[int, int, float]):
    with pytest.raises(
        ValueError, match=r"^max_concurrency must be at least 1, queue_size and queue_timeout at least 0$"
    ):
        queue(at_once=bounds[0], waiting=bounds[1], timeout=bounds[2])


async def test_a_full_queue_reports_how_many_are_before():
    places = queue(at_once=2, waiting=1)
    await places.admit(2)
    waiting = asyncio.ensure_future(places.admit())
    await settle()
    with pytest.raises(QueueFull, match=r"^1 requests are being answered and 1 wait, as many as may$"):
        await places.admit()
    waiting.cancel()


async def test_every_cancelled_request_counts():
    places = queue()
    for _ in range(2):
        slot = await places.admit()
        waiting = asyncio.ensure_future(places.admit())
        await settle()
        waiting.cancel()
        await settle()
        slot.__exit__(None, asyncio.CancelledError(), None)
    assert (places.stats.cancelled, places.stats.completed) == (4, 0)


def test_a_queue_without_requests_reports_no_seconds():
    stats = queue().stats
    assert (stats.wait_seconds_mean, stats.wait_seconds_max) == (0.0, 0.0)
    assert (stats.service_seconds_mean, stats.service_seconds_max) == (0.0, 0.0)


async def test_a_long_wait_is_forgotten_after_enough_short_ones(monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr("providers.admission.monotonic", lambda: now)
    places = queue()
    with await places.admit():
        waiting = asyncio.ensure_future(places.admit())
        await settle()
        now = 100.0
    with await waiting:
        pass
    assert places.stats.wait_seconds_max == 100.0
    for _ in range(256):
        with await places.admit():
            pass
    assert places.stats.wait_seconds_max == 0.0
