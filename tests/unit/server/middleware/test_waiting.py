"""Work that is begun without a timer."""

from __future__ import annotations

import asyncio

import pytest

from server.middleware.waiting import begin


async def test_work_that_waits_for_nothing_ends_when_it_is_begun() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    assert begin(work()) is None
    assert done == [1]


async def test_the_rest_of_work_that_waits_several_times_is_awaited() -> None:
    done: list[int] = []

    async def work() -> None:
        for number in range(3):
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            done.append(number)

    rest = begin(work())
    assert rest is not None
    assert done == []
    await rest
    assert done == [0, 1, 2]


async def test_an_error_before_the_first_wait_and_after_it_is_raised() -> None:
    async def work(waits: int) -> None:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise ValueError(waits)

    with pytest.raises(ValueError, match="0"):
        begin(work(0))
    rest = begin(work(2))
    assert rest is not None
    with pytest.raises(ValueError, match="2"):
        await rest


async def test_a_cancellation_reaches_the_work_where_it_waits() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cancelled")
            raise

    async def run() -> None:
        rest = begin(work())
        assert rest is not None
        await rest

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_a_timeout_around_the_rest_ends_it() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    rest = begin(work())
    assert rest is not None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await rest


@pytest.mark.parametrize("ends", [True, False])
async def test_work_that_only_iterates_is_awaited_and_cancelled(ends: bool) -> None:
    """As granian's awaitables, which have neither `send` nor `throw`."""
    waited = asyncio.get_running_loop().create_future()

    class Work:
        def __init__(self) -> None:
            self._steps = waited.__await__()

        def __await__(self) -> Work:
            return self

        def __iter__(self) -> Work:
            return self

        def __next__(self) -> object:
            return next(self._steps)

    rest = begin(Work())  # type: ignore[arg-type]
    assert rest is not None
    task = asyncio.ensure_future(rest)
    await asyncio.sleep(0)
    if ends:
        waited.set_result(None)
        assert await task is None
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waited.cancelled()
