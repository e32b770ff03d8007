"""When an engine counts as hung."""

from __future__ import annotations

import pytest

from providers.engine_host.frames import Activity, Beat
from providers.engine_host.watchdog import Watchdog


def beat(activity: Activity = "working", steps: int = 0, commands: int = 0, *, preparing: bool = False) -> Beat:
    return Beat(activity, steps, commands, preparing)


def ticks_until_hung(watchdog: Watchdog, *beats: Beat, most: int = 2000) -> tuple[int, str]:
    """Give the beats in turn, the last of them for ever, one per tick."""
    for count in range(most):
        watchdog.beat(beats[min(count, len(beats) - 1)])
        if (reason := watchdog.tick()) is not None:
            return count + 1, reason
    return most, ""


def test_a_step_that_does_not_end_is_a_hang_after_the_timeout() -> None:
    assert ticks_until_hung(Watchdog(120.0), beat(steps=5)) == (
        120,
        "its MLX thread has made no progress for 120 s (working)",
    )


def test_a_short_timeout_is_not_stretched_before_any_step_was_slow() -> None:
    assert ticks_until_hung(Watchdog(5.0), beat(steps=5))[0] == 5


def test_every_unit_of_work_starts_the_time_again() -> None:
    prefill = [beat(steps=number // 10) for number in range(1000)]
    assert ticks_until_hung(Watchdog(120.0), *prefill)[0] == 990 + 120


def test_a_machine_that_is_slow_gets_ten_times_its_longest_step() -> None:
    slow = [beat(steps=number // 60) for number in range(600)]
    assert ticks_until_hung(Watchdog(120.0), *slow)[0] == 540 + 600


def test_an_idle_engine_never_hangs() -> None:
    assert ticks_until_hung(Watchdog(120.0), beat("idle", 7)) == (2000, "")


def test_work_after_idle_time_gets_the_whole_timeout() -> None:
    assert ticks_until_hung(Watchdog(120.0), *[beat("idle", 7)] * 500, beat("working", 7))[0] == 500 + 120


def test_loading_may_take_ten_times_as_long_without_progress() -> None:
    assert ticks_until_hung(Watchdog(120.0), beat("loading"))[0] == 1200


def test_an_engine_that_hangs_right_after_loading_gets_no_time_for_loading() -> None:
    watchdog = Watchdog(5.0)
    watchdog.beat(beat("loading"))
    watchdog.loaded()

    reasons = [watchdog.tick() for _ in range(5)]

    assert reasons == [None] * 4 + ["it has sent no sign of life for 5 s"]


def test_an_intake_that_does_not_finish_a_request_is_a_hang_while_the_batch_goes_on() -> None:
    beats = [beat(steps=number, commands=3, preparing=True) for number in range(2000)]
    taken, reason = ticks_until_hung(Watchdog(120.0), *beats)
    assert (taken, reason) == (120, "its intake has worked on one request for 120 s")


def test_an_intake_that_takes_one_request_after_the_other_does_not_hang() -> None:
    beats = [beat("idle", commands=number, preparing=True) for number in range(2000)]
    assert ticks_until_hung(Watchdog(120.0), *beats) == (2000, "")


@pytest.mark.parametrize(
    ("activity", "timeout", "seconds"),
    [("idle", 120, 20), ("working", 120, 20), ("idle", 5, 5), ("loading", 120, 120), ("loading", 5, 60)],
)
def test_an_engine_that_sends_no_beats_hangs_sooner_also_without_work(
    activity: Activity, timeout: float, seconds: int
) -> None:
    watchdog = Watchdog(timeout)
    watchdog.beat(beat(activity))
    reasons = [watchdog.tick() for _ in range(seconds)]
    assert reasons[-2:] == [None, f"it has sent no sign of life for {seconds} s"]


def test_the_seconds_of_a_load_do_not_count_against_the_first_request() -> None:
    watchdog = Watchdog(3.0)
    for _ in range(15):  # the command to load, which the intake takes, may take any number of seconds
        watchdog.beat(beat("loading", commands=1, preparing=True))
        assert watchdog.tick() is None
    watchdog.loaded()
    assert [watchdog.tick() for _ in range(2)] == [None, None]


def test_a_timeout_of_zero_turns_the_watchdog_off() -> None:
    watchdog = Watchdog(0.0)
    assert not any(watchdog.tick() for _ in range(10_000))


@pytest.mark.parametrize(("timeout", "seconds"), [(120, 120), (5, 60)])
def test_an_engine_that_never_sends_a_beat_counts_as_loading(timeout: float, seconds: int) -> None:
    watchdog = Watchdog(timeout)
    reasons = [watchdog.tick() for _ in range(seconds)]
    assert reasons[-2:] == [None, f"it has sent no sign of life for {seconds} s"]


async def test_a_wait_for_a_hang_ends_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("providers.engine_host.watchdog.asyncio.sleep", sleep)
    reason = await Watchdog(4.0, interval=0.5).wait_hung()
    assert reason == "it has sent no sign of life for 60 s"
    assert slept == [0.5] * 119
