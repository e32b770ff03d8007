"""Which models are in memory together: the budget, who leaves for whom, pins and idle time."""

from __future__ import annotations

import asyncio

import pytest

from providers.errors import DoesNotFit, ModelNotReady, QueueTimeout
from tests.unit.providers.house import GB, PATIENCE, House, Model, done, soon


async def test_models_that_fit_stay_together():
    house = House()
    for name in "ab":
        await house.load(house.model(name, 5))
    assert house.resident() == ["a", "b"]
    assert house.residency.used == 10 * GB


async def test_the_least_recently_used_idle_model_leaves_first():
    house = House()
    a, b, c = (house.model(name, 4) for name in "abc")
    await house.load(a)
    await house.load(b)
    await house.use(a)
    house.residency.leave(a)

    await house.load(c)

    assert house.resident() == ["a", "c"]


async def test_no_more_models_leave_than_have_to():
    house = House()
    for name, size in [("a", 3), ("b", 3), ("c", 3)]:
        await house.load(house.model(name, size))
    await house.load(house.model("d", 4))
    assert house.resident() == ["b", "c", "d"]


async def test_a_model_in_use_is_not_unloaded_and_is_waited_for():
    house = House()
    a, b = house.model("a", 6), house.model("b", 6)
    await house.load(a)
    await house.use(a)

    loading = await soon(house.load(b))
    assert (loading.done(), house.resident()) == (False, ["a"])

    house.residency.leave(a)
    await done(loading)
    assert house.resident() == ["b"]


async def test_new_requests_to_the_model_that_makes_room_wait_behind_it():
    house = House()
    a, b, small = house.model("a", 6), house.model("b", 6), house.model("small", 1)
    await house.load(a)
    await house.load(small)
    await house.use(a)
    loading = await soon(house.load(b))

    late = await soon(house.use(a))
    await house.use(small)  # it need not leave
    assert not late.done()

    house.residency.leave(a)
    await done(loading)
    await done(late)
    assert house.resident() == ["b", "small"]


async def test_a_brief_use_of_a_model_in_use_does_not_wait():
    house = House()
    a = house.model("a", 6)
    await house.load(a)
    await house.use(a)
    await soon(house.load(house.model("b", 6)))
    await asyncio.wait_for(house.residency.enter(a, PATIENCE, brief=True), PATIENCE)


async def test_of_the_idle_and_the_used_the_idle_one_leaves_although_it_was_used_later():
    house = House()
    a, b, c = house.model("a", 5), house.model("b", 5), house.model("c", 5)
    await house.load(a)
    await house.use(a)
    await house.load(b)
    await house.load(c)
    assert house.resident() == ["a", "c"]


async def test_a_model_that_waits_too_long_for_room_is_refused_and_holds_up_no_request():
    house = House()
    a, b = house.model("a", 6), house.model("b", 6)
    await house.load(a)
    await house.use(a)
    with pytest.raises(QueueTimeout, match=r"b needs 6\.00 GB") as caught:
        await house.load(b, patience=0.01)
    assert caught.value.retry_after
    await asyncio.wait_for(house.use(a), PATIENCE)
    assert not house.residency.state(b).memory


@pytest.mark.parametrize("pinned", [0, 4])
async def test_what_never_fits_is_refused_before_anything_leaves(pinned: int):
    house = House()
    a, big = house.model("a", 2), house.model("big", 7 if pinned else 11)
    if pinned:
        await house.load(house.model("kept", pinned, pin=True))
    await house.load(a)
    with pytest.raises(DoesNotFit, match=r"big needs \d+\.00 GB of memory; the limit of all models is 10\.00 GB") as it:
        await house.load(big)
    assert ("pinned models have 4.00 GB (kept)" in it.value.message) == bool(pinned)
    assert a.resident


async def test_a_pinned_model_leaves_for_no_other_until_it_is_unpinned():
    house = House()
    a, b = house.model("a", 6), house.model("b", 6)
    await house.load(a)
    house.residency.pin(a, True)
    with pytest.raises(DoesNotFit):
        await house.load(b)
    house.residency.pin(a, False)
    await house.load(b)
    assert house.resident() == ["b"]


async def test_pinning_refuses_the_model_that_waits_for_it():
    house = House()
    a, b = house.model("a", 6), house.model("b", 6)
    await house.load(a)
    await house.use(a)
    loading = await soon(house.load(b))
    house.residency.pin(a, True)
    with pytest.raises(DoesNotFit):
        await done(loading)


async def test_two_loads_do_not_take_the_same_bytes():
    house = House()
    a, b = house.model("a", 6), house.model("b", 6)
    await house.residency.admit(a, patience=PATIENCE)
    second = await soon(house.load(b))
    assert not second.done(), "a model that loads is not unloaded"

    a.resident = True
    await house.residency.loaded(a)
    await done(second)
    assert house.resident() == ["b"]


async def test_two_loads_for_which_one_model_suffices_unload_one():
    house = House()
    a, b = house.model("a", 5), house.model("b", 5)
    await house.load(a)
    await house.load(b)
    a.may_end.clear()
    loads = [await soon(house.load(house.model(name, 2))) for name in "cd"]
    a.may_end.set()
    for load in loads:
        await done(load)
    assert house.resident() == ["b", "c", "d"]


async def test_memory_is_free_only_when_the_engine_has_ended():
    house = House()
    a, b = house.model("a", 6), house.model("b", 6)
    await house.load(a)
    a.may_end.clear()
    loading = await soon(house.load(b))
    assert (loading.done(), house.residency.used) == (False, 6 * GB)
    a.may_end.set()
    await done(loading)


async def test_a_failed_load_frees_its_reservation():
    house = House()
    a, b = house.model("a", 6), house.model("b", 6)
    await house.residency.admit(a, patience=PATIENCE)
    house.residency.gone(a)
    await house.load(b)
    assert (house.resident(), house.residency.used) == (["b"], 6 * GB)


async def test_a_model_that_may_not_evict_is_refused_with_the_numbers():
    house = House()
    await house.load(house.model("a", 6))
    with pytest.raises(DoesNotFit, match=r"b needs 6\.00 GB .* of which others have 6\.00 GB \(a\)"):
        await house.load(house.model("b", 6), evict=False)


async def test_of_models_that_load_at_start_the_first_ones_are_loaded():
    house = House()
    models = [house.model(name, size) for name, size in [("a", 6), ("b", 6), ("c", 3)]]
    results = await asyncio.gather(*(house.load(model, evict=False) for model in models), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), DoesNotFit, type(None)]
    assert house.resident() == ["a", "c"]


async def test_a_model_of_unknown_size_is_checked_once_it_is_loaded():
    house = House()
    a, big = house.model("a", 2), house.model("big", 11, known=False)
    await house.load(a)
    with pytest.raises(DoesNotFit, match=r"big needs 11\.00 GB"):
        await house.load(big)
    assert (house.resident(), big.released) == (["a"], 1)
    with pytest.raises(DoesNotFit):
        await house.load(big)
    assert big.released == 1, "its size is known now"


async def test_a_model_that_has_more_than_its_files_say_is_loaded_again():
    house = House()
    a, b = house.model("a", 8), house.model("b", 1)
    await house.load(b)
    await house.residency.admit(a, patience=PATIENCE)
    a.resident, a.size = True, 11 * GB
    await house.residency.loaded(a)
    await house.residency.unload(a)

    a.size = 8 * GB
    await house.load(a)

    assert house.resident() == ["a"], "the other one makes room for what it had"


async def test_growth_unloads_idle_models_least_recently_used_first():
    house = House()
    a, b, c = (house.model(name, 3) for name in "abc")
    for model in (a, b, c):
        await house.load(model)
    await house.use(c)
    c.size = 5 * GB
    await house.residency.check()
    assert house.resident() == ["b", "c"]
    c.size = 11 * GB
    await house.residency.check()
    assert house.resident() == ["c"], "it is in use"


async def test_idle_models_leave_after_their_ttl():
    house = House(budget=None)
    a = house.model("a", 1, ttl=10.0)
    b = house.model("b", 1, ttl=10.0, pin=True)
    c = house.model("c", 1)
    d = house.model("d", 1, ttl=10.0)
    for model in (a, b, c, d):
        await house.load(model)
    await house.use(d)

    house.now = 9.5
    await house.residency.check()
    assert house.resident() == ["a", "b", "c", "d"]

    house.now = 20.0
    await house.residency.check()
    assert house.resident() == ["b", "c", "d"], "pinned, without a ttl, in use"

    house.residency.leave(d)
    house.now = 29.0
    await house.residency.check()
    assert d.resident, "the time begins when a use ends"
    house.now = 30.0
    await house.residency.check()
    assert house.resident() == ["b", "c"]


async def test_an_explicit_unload_waits_for_the_uses_and_holds_up_new_ones():
    house = House(budget=None)
    a = house.model("a", 1, pin=True)
    await house.load(a)
    await house.use(a)
    unloading = await soon(house.residency.unload(a))
    late = await soon(house.use(a))
    assert (unloading.done(), late.done()) == (False, False)

    house.residency.leave(a)
    await done(unloading)
    await done(late)
    assert not a.resident


async def test_an_explicit_unload_that_is_cancelled_is_taken_back():
    house = House(budget=None)
    a = house.model("a", 1)
    await house.load(a)
    await house.use(a)
    unloading = await soon(house.residency.unload(a))
    late = await soon(house.use(a))
    unloading.cancel()
    await done(late)
    assert a.resident


async def test_a_request_that_waits_for_its_turn_too_long_is_refused():
    house = House()
    a = house.model("a", 6)
    await house.load(a)
    await house.use(a)
    await soon(house.load(house.model("b", 6)))
    with pytest.raises(ModelNotReady, match="a makes room") as caught:
        await house.residency.enter(a, 0.01)
    assert caught.value.retry_after


async def test_without_a_budget_nothing_leaves():
    house = House(budget=None)
    for name in "abc":
        await house.load(house.model(name, 1000))
    assert house.resident() == ["a", "b", "c"]


async def test_the_watch_survives_a_model_that_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("providers.residency.CHECK_SECONDS", 0.0)
    house = House()
    seen, looks = asyncio.Event(), 0
    loop = asyncio.get_running_loop()

    def broken() -> int:  # in a thread
        nonlocal looks
        looks += 1
        if looks > 2:
            loop.call_soon_threadsafe(seen.set)
        raise OSError

    a = house.model("a", 1)
    await house.load(a)
    monkeypatch.setattr(Model, "footprint", lambda _: broken())
    watch = asyncio.create_task(house.residency.watch())
    async with asyncio.timeout(PATIENCE):
        await seen.wait()
    watch.cancel()
