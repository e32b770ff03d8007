"""Turns in recorded speech, between silence, noise and clicks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from providers.errors import InvalidRequest
from server.api.realtime.audio.turns import InputAudio, SpeechStarted, SpeechStopped, TurnSettings, Utterance
from tests.unit.providers.engines.recordings import RATE, Samples, noise, silence
from tests.unit.server.api.realtime.audio.speech import pcm, recording

NAMES = ("counting", "hello_world", "quick_brown_fox")
PAUSE = 1.0


def talk() -> tuple[Samples, list[tuple[float, float]]]:
    """Three recordings with pauses around them, and the milliseconds between which each is."""
    parts, places, at = [silence(PAUSE)], [], PAUSE
    for name in NAMES:
        samples = recording(name)
        places.append((at * 1000, (at + len(samples) / RATE) * 1000))
        at += len(samples) / RATE + PAUSE
        parts += [samples, silence(PAUSE)]
    return np.concatenate(parts), places


def buffer(*, max_seconds: int = 60, **turns: Any) -> InputAudio:
    return InputAudio(TurnSettings(**turns), max_seconds=max_seconds)


def appended(audio: InputAudio, data: bytes, size: int | None = None) -> list[SpeechStarted | SpeechStopped]:
    size = size or len(data)
    pieces = [data[begin : begin + size] for begin in range(0, len(data), size)]
    return [event for piece in pieces for event in audio.append(piece)]


def utterances(events: list[Any]) -> list[Utterance]:
    return [event.utterance for event in events if isinstance(event, SpeechStopped)]


# ── speech ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("decibels", [None, -55, -45], ids=["clear", "quiet noise", "noise"])
def test_each_recording_is_one_turn(decibels: int | None) -> None:
    samples, places = talk()
    if decibels is not None:
        samples = samples + np.random.default_rng(0).normal(0, 10 ** (decibels / 20), len(samples))

    events = appended(buffer(), pcm(samples), 4800)

    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped] * 3
    for utterance, (begin, end) in zip(utterances(events), places, strict=True):
        assert begin - 400 <= utterance.start_ms <= begin + 60
        assert end - 500 <= utterance.voiced_ms <= end + 100  # a last word fades into the noise
        assert utterance.end_ms == utterance.voiced_ms + 500


def test_the_clock_is_exact_to_the_sample() -> None:
    samples, _ = talk()
    data = pcm(samples)

    for utterance in utterances(appended(buffer(), data)):
        begin = round(utterance.start_ms * 24) * 2
        assert utterance.audio == data[begin : begin + len(utterance.audio)]
        assert utterance.duration_ms == len(utterance.audio) / 48


@pytest.mark.parametrize("size", [98, 960, 4800, 50_002])
def test_the_size_of_the_pieces_changes_nothing(size: int) -> None:
    samples, _ = talk()
    data = pcm(samples)

    assert appended(buffer(), data, size) == appended(buffer(), data)


def test_the_padding_is_before_the_speech() -> None:
    samples, _ = talk()
    data = pcm(samples)
    starts = {}
    for padding in (0, 100, 700):
        starts[padding] = [one.start_ms for one in utterances(appended(buffer(prefix_padding_ms=padding), data))]

    assert starts[100] == [start - 100 for start in starts[0]]
    # The sound of one turn is never that of the next one too.
    assert starts[700][0] == starts[0][0] - 700
    assert all(begin >= end for begin, end in zip(starts[700][1:], _ends(data, 700), strict=False))


def _ends(data: bytes, padding: int) -> list[float]:
    return [one.end_ms for one in utterances(appended(buffer(prefix_padding_ms=padding), data))]


def test_a_longer_silence_joins_recordings_to_one_turn() -> None:
    samples, _ = talk()

    (utterance,) = utterances(appended(buffer(silence_duration_ms=1600), pcm(np.concatenate([samples, silence(1)]))))

    assert utterance.end_ms == utterance.voiced_ms + 1600


def test_a_turn_ends_when_it_is_too_long() -> None:
    samples = np.concatenate([silence(0.5), recording("counting"), recording("quick_brown_fox"), silence(1)])

    first, *others = utterances(appended(buffer(max_seconds=2), pcm(samples)))

    assert first.duration_ms == 2000
    assert others
    assert others[0].start_ms >= first.end_ms


# ── what is no speech ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["brown", "hiss"])
def test_noise_starts_no_turn(kind: str) -> None:
    assert appended(buffer(), pcm(noise(kind))) == []


def test_silence_and_clicks_start_no_turn() -> None:
    samples = silence(5.0)
    for at in range(RATE, 5 * RATE, RATE):
        samples[at : at + 40] = 0.9

    audio = buffer()

    assert appended(audio, pcm(samples)) == []
    assert audio.now_ms == 5000
    assert audio.so_far().duration_ms <= 600  # the rest is not kept


def test_a_higher_threshold_takes_less_for_speech() -> None:
    quiet = pcm(np.concatenate([silence(0.5), recording("quick_brown_fox") * 0.01, silence(1.0)]))

    assert appended(buffer(threshold=0.2), quiet)
    assert not appended(buffer(threshold=0.9), quiet)


# ── the buffer ──────────────────────────────────────────────────────────────────────────────────────────────


def test_without_turns_all_sound_is_committed() -> None:
    audio = InputAudio(max_seconds=60)
    data = pcm(recording("hello_world"))

    assert appended(audio, data, 962) == []
    committed = audio.commit()

    assert committed.audio == data
    assert (committed.start_ms, committed.voiced_ms) == (0, len(data) / 48)
    assert audio.now_ms == committed.end_ms
    assert audio.so_far().audio == b""


@pytest.mark.parametrize("milliseconds", [0, 99])
def test_too_little_cannot_be_committed(milliseconds: int) -> None:
    audio = InputAudio(max_seconds=60)
    list(audio.append(bytes(48 * milliseconds)))

    with pytest.raises(InvalidRequest, match=f"holds {milliseconds}.00 ms"):
        audio.commit()


def test_too_much_is_refused_and_what_was_there_stays() -> None:
    audio = InputAudio(max_seconds=2)
    list(audio.append(bytes(96_000)))

    with pytest.raises(InvalidRequest, match="up to 2 seconds"):
        list(audio.append(bytes(2)))

    assert audio.commit().duration_ms == 2000


def test_a_turn_can_be_committed_before_its_end() -> None:
    data = pcm(np.concatenate([silence(0.5), recording("counting")]))
    audio = buffer()
    (started,) = appended(audio, data)
    assert audio.speaking

    committed = audio.commit()

    assert isinstance(started, SpeechStarted)
    assert (committed.start_ms, committed.end_ms) == (started.start_ms, len(data) / 48)
    assert not audio.speaking
    assert appended(audio, bytes(48_000)) == []


def test_clearing_drops_the_turn_and_keeps_the_clock() -> None:
    audio = buffer()
    appended(audio, pcm(np.concatenate([silence(0.5), recording("counting")])))
    before = audio.now_ms

    audio.clear()

    assert (audio.now_ms, audio.speaking, audio.so_far().audio) == (before, False, b"")


def test_turns_are_found_from_the_time_on_at_which_that_is_asked_for() -> None:
    audio = InputAudio(max_seconds=60)
    list(audio.append(bytes(48_000)))
    audio.configure(TurnSettings())

    started, stopped = appended(audio, pcm(np.concatenate([silence(1), recording("hello_world"), silence(1)])))

    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert 1000 + 600 <= started.start_ms <= 1000 + 1060


def test_equal_settings_do_not_end_a_turn() -> None:
    audio = buffer()
    appended(audio, pcm(np.concatenate([silence(0.5), recording("counting")])))

    audio.configure(TurnSettings())
    assert audio.speaking

    audio.configure(None)
    assert not audio.speaking
