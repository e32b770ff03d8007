"""G.711 and the two rates: codes of the standard, pieces of any size, and no shift of what is sent."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.realtime.session import RealtimeAudioFormat
from server.api.realtime.audio.sound import encode_whole_sound, reader_of, writer_of

LAWS = ("audio/pcmu", "audio/pcma")
DELAY = 48
"""Samples by which sound that was read is late: two milliseconds."""


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(24_000 * seconds)) / 24_000)).astype(np.int16)


def form(law: str) -> RealtimeAudioFormat:
    return RealtimeAudioFormat(type=law)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("law", "code", "sample"),
    [
        ("audio/pcmu", 0x00, -32124),
        ("audio/pcmu", 0x80, 32124),
        ("audio/pcmu", 0xFF, 0),
        ("audio/pcmu", 0xEF, 132),
        ("audio/pcma", 0x2A, -32256),
        ("audio/pcma", 0xAA, 32256),
        ("audio/pcma", 0xD5, 8),
        ("audio/pcma", 0x55, -8),
    ],
)
def test_codes_are_those_of_the_standard(law: str, code: int, sample: int) -> None:
    heard = np.frombuffer(reader_of(form(law)).decode(bytes([code]) * 4000), np.int16)
    assert abs(int(heard[6000]) - sample) <= max(2, abs(sample) // 500)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("size", [2, 998, 24_000])
def test_pieces_of_any_size_make_the_same_file(law: str, size: int) -> None:
    pcm = tone(440).tobytes()
    writer = writer_of(form(law))
    made = b"".join(writer.encode(pcm[at : at + size]) for at in range(0, len(pcm), size)) + writer.finish()
    assert made == encode_whole_sound(form(law), pcm)
    assert len(made) == 8000


@pytest.mark.parametrize("law", LAWS)
def test_speech_comes_back_as_it_was(law: str) -> None:
    sent = tone(440).astype(int)
    heard = np.frombuffer(reader_of(form(law)).decode(encode_whole_sound(form(law), tone(440).tobytes())), np.int16)
    assert len(heard) == len(sent)
    error = heard[DELAY + 1000 : 23_000].astype(int) - sent[1000 : 23_000 - DELAY]
    assert np.sqrt(np.mean(error**2)) < 100


@pytest.mark.parametrize("law", LAWS)
def test_what_the_lower_rate_cannot_hold_is_silent(law: str) -> None:
    made = encode_whole_sound(form(law), tone(6000).tobytes())
    heard = np.frombuffer(reader_of(form(law)).decode(made), np.int16)
    assert np.abs(heard[1000:-1000].astype(int)).max() < 100


def test_samples_that_are_cut_in_two_are_joined() -> None:
    reader = reader_of(None)
    pcm = tone(440, 0.01).tobytes()
    assert b"".join(reader.decode(pcm[at : at + 7]) for at in range(0, len(pcm), 7)) == pcm
