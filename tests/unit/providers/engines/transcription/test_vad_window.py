"""A recording is read through a window, and silence is distinguished from speech."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile

from providers.engines.transcription.audio_reader import AudioReader
from providers.engines.transcription.vad_window import Recording
from tests.unit.providers.engines.recordings import RATE, Samples, silence, tone, wav


def recording(folder: Path, *parts: Samples) -> Recording:
    path = folder / "recording.wav"
    path.write_bytes(wav(np.concatenate(parts), subtype="FLOAT"))
    return Recording(AudioReader(path))


def test_speech_is_found_where_it_begins(tmp_path: Path) -> None:
    heard = recording(tmp_path, silence(4.0), tone(2.0), silence(1.0))
    heard.move(0, 10 * RATE)
    assert heard.ended
    assert heard.end == 7 * RATE
    onset = heard.onset(0)
    assert onset is not None
    assert onset / RATE == pytest.approx(4.0, abs=0.1)
    assert heard.onset(int(6.5 * RATE)) is None


def test_without_the_detector_everything_is_speech(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(silence(2.0)))
    heard = Recording(AudioReader(path), detect=False)
    heard.move(0, 10 * RATE)
    assert (heard.onset(0), heard.onset(RATE)) == (0, RATE)


@pytest.mark.parametrize("decibels", [-90, -60, -40])
def test_quiet_noise_is_silence(tmp_path: Path, decibels: int) -> None:
    noise = np.random.default_rng(0).normal(0, 10 ** (decibels / 20), 5 * RATE)
    heard = recording(tmp_path, noise)
    heard.move(0, 5 * RATE)
    assert heard.onset(0) is None


def test_a_click_is_no_speech(tmp_path: Path) -> None:
    click = silence(3.0)
    click[RATE : RATE + 300] = 0.9
    heard = recording(tmp_path, click)
    heard.move(0, 5 * RATE)
    assert heard.onset(0) is None


def test_quiet_speech_is_speech(tmp_path: Path) -> None:
    spoken = soundfile.read(files("pytest_audioeval") / "samples/audio/en/quick_brown_fox.wav")[0]
    heard = recording(tmp_path, silence(1.0), spoken * 0.03)
    heard.move(0, 5 * RATE)
    assert heard.onset(0) is not None


def test_places_stay_what_they_are_as_the_window_moves(tmp_path: Path) -> None:
    samples = np.concatenate([silence(3.0), tone(1.0), silence(3.0), tone(1.0)])
    heard = recording(tmp_path, samples)
    heard.move(0, 3 * RATE)
    heard.move(int(4.2 * RATE), 10 * RATE)

    np.testing.assert_allclose(heard.samples(5 * RATE, 5 * RATE + 100), samples[5 * RATE : 5 * RATE + 100], atol=1e-6)
    onset = heard.onset(int(4.5 * RATE))
    assert onset is not None
    assert onset / RATE == pytest.approx(7.0, abs=0.1)


def test_no_more_is_kept_than_the_window(tmp_path: Path) -> None:
    heard = recording(tmp_path, silence(60.0))
    for second in range(0, 60, 5):
        heard.move(second * RATE, (second + 10) * RATE)
        assert len(heard.samples(0, 60 * RATE)) <= 11 * RATE
    assert heard.end == 60 * RATE
