from __future__ import annotations

from server.api.realtime.audio.playback import Playback


def test_sound_is_played_in_real_time_from_the_first_on() -> None:
    now = 100.0
    playback = Playback(lambda: now)
    assert (playback.played_ms, playback.remaining) == (0, 0)

    playback.sent(2.0)
    playback.sent(1.0)
    now = 101.5

    assert (playback.played_ms, playback.sent_ms, playback.remaining) == (1500, 3000, 1.5)
    now = 110.0
    assert (playback.played_ms, playback.remaining) == (3000, 0)


def test_sound_that_comes_late_is_played_when_it_comes() -> None:
    now = 100.0
    playback = Playback(lambda: now)
    playback.sent(1.0)
    now = 105.0
    playback.sent(1.0)
    now = 105.25

    assert playback.played_ms == 1250
