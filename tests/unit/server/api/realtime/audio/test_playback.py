from __future__ import annotations

from server.api.realtime.audio.playback import Playback


def test_sound_is_played_in_real_time_from_the_first_on() -> None:
    now = 100.0
    playback = Playback(clock=lambda: now)
    assert (playback.played_ms, playback.remaining) == (0, 0)

    playback.sent(2.0)
    playback.sent(1.0)
    now = 101.5

    assert (playback.played_ms, playback.remaining, playback.ends) == (1500, 1.5, 103.0)
    now = 110.0
    assert (playback.played_ms, playback.remaining) == (3000, 0)


def test_sound_that_comes_late_is_played_when_it_comes() -> None:
    now = 100.0
    playback = Playback(clock=lambda: now)
    playback.sent(1.0)
    now = 105.0
    playback.sent(1.0)
    now = 105.25

    assert playback.played_ms == 1250


def test_an_answer_is_played_after_the_one_before_it() -> None:
    now = 100.0
    first = Playback(clock=lambda: now)
    first.sent(3.0)
    second = Playback(first.ends, clock=lambda: now)
    second.sent(2.0)
    now = 102.0
    assert (first.played_ms, second.played_ms, second.remaining) == (2000, 0, 2.0)

    now = 104.0
    assert (first.played_ms, second.played_ms, second.remaining) == (3000, 1000, 1.0)
