"""Files become mono float32 at 16 kHz, piece by piece. Other content is refused, and no other file is opened."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from providers.engines.transcription.audio_reader import SAMPLE_RATE, AudioReader, Samples
from providers.errors import InvalidRequest
from tests.unit.providers.engines.recordings import RATE, encoded, sound, tone, wav

Put = Callable[[bytes], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file whose name does not show its format."""

    def write(content: bytes) -> Path:
        path = tmp_path / "upload"
        path.write_bytes(content)
        return path

    return write


def read(path: Path, piece: int = 4000) -> Samples:
    reader = AudioReader(path)
    try:
        pieces = []
        while len(samples := reader.read(piece)):
            assert len(samples) <= piece
            pieces.append(samples)
        return np.concatenate(pieces)
    finally:
        reader.close()


def test_samples_come_out_as_they_went_in(put: Put) -> None:
    samples = tone(1.0)
    path = put(wav(samples, subtype="FLOAT"))
    assert AudioReader(path).duration == pytest.approx(1.0)
    np.testing.assert_allclose(read(path), samples, atol=1e-6)


def test_tags_in_an_unknown_encoding_are_no_error(put: Put) -> None:
    whole = wav(tone(1.0))
    tags = b"LIST" + struct.pack("<I", 16) + b"INFOIART" + struct.pack("<I", 4) + b"\xe9\xff\xfe\x00"
    tagged = whole[:36] + tags + whole[36:]

    assert len(read(put(tagged[:4] + struct.pack("<I", len(tagged) - 8) + tagged[8:]))) == SAMPLE_RATE


def test_pieces_are_as_long_as_asked_but_for_the_last(put: Put) -> None:
    reader = AudioReader(put(wav(tone(1.0))))
    assert [len(reader.read(7000)) for _ in range(4)] == [7000, 7000, 2000, 0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(sound(tone(2.0), "FLAC"), id="flac"),
        pytest.param(sound(tone(2.0), "OGG", subtype="VORBIS"), id="ogg vorbis"),
        pytest.param(sound(tone(2.0), "OGG", 48_000, subtype="OPUS"), id="ogg opus, told a wrong rate"),
        pytest.param(sound(tone(2.0), "MP3"), id="mp3"),
        pytest.param(sound(tone(2.0), "AIFF"), id="aiff"),
        pytest.param(encoded(tone(2.0), "mp4", "aac"), id="m4a"),
        pytest.param(encoded(tone(2.0), "webm", "libopus"), id="webm"),
        pytest.param(wav(tone(2.0, 192_000), 192_000), id="192 kHz"),
        pytest.param(wav(tone(2.0, 8_000), 8_000), id="8 kHz"),
        pytest.param(wav(np.stack([tone(2.0)] * 6, axis=1)), id="six channels"),
    ],
)
def test_every_usual_form_is_read(content: bytes, put: Put, request: pytest.FixtureRequest) -> None:
    seconds = len(read(put(content))) / SAMPLE_RATE
    expected = 2.0 / 3 if "wrong rate" in request.node.name else 2.0
    assert seconds == pytest.approx(expected, abs=0.12)


def test_channels_are_mixed(put: Put) -> None:
    left = tone(1.0)
    mixed = read(put(wav(np.stack([left, -left], axis=1), subtype="FLOAT")))
    assert np.abs(mixed).max() < 1e-6


def _with(offset: int, value: bytes) -> bytes:
    content = bytearray(wav(tone(1.0)))
    content[offset : offset + len(value)] = value
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello " * 200, id="text"),
        pytest.param(bytes(10_000), id="zeros"),
        pytest.param(np.random.default_rng(0).bytes(50_000), id="noise of bytes"),
        pytest.param(b"%PDF-1.7\n" + b"x" * 2000, id="pdf"),
        pytest.param(wav(tone(0.0)), id="no samples"),
        pytest.param(wav(tone(1.0))[:20], id="cut off in the header"),
        pytest.param(encoded(tone(2.0), "mp4", "aac")[:4000], id="m4a without its index"),
        pytest.param(_with(22, b"\0\0"), id="no channels"),
        pytest.param(_with(22, b"\xff\xff"), id="65,535 channels"),
        pytest.param(_with(24, struct.pack("<I", 0)), id="0 Hz"),
        pytest.param(_with(24, struct.pack("<I", 1)), id="1 Hz"),
        pytest.param(_with(24, struct.pack("<I", 4_000_000_000)), id="4 GHz"),
    ],
)
def test_what_is_no_audio_is_refused(content: bytes, put: Put) -> None:
    with pytest.raises(InvalidRequest) as refused:
        AudioReader(put(content))
    assert refused.value.param == "file"


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        AudioReader(tmp_path / "gone")


@pytest.mark.parametrize(
    "playlist",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {}\n"],
)
def test_a_playlist_opens_no_other_file(playlist: str, put: Put, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(wav(tone(1.0)))
    with pytest.raises(InvalidRequest):
        AudioReader(put(playlist.format(other).encode()))


@pytest.mark.parametrize("format", ["WAV", "FLAC", "MP3"])
def test_what_is_cut_off_ends_there(format: str, put: Put) -> None:
    content = sound(tone(4.0), format)
    heard = len(read(put(content[: len(content) // 2]))) / RATE
    assert 0.5 < heard < 3.0


def test_what_is_broken_inside_is_left_out(put: Put) -> None:
    content = bytearray(sound(tone(4.0), "MP3"))
    content[len(content) // 2 : len(content) // 2 + 500] = np.random.default_rng(1).bytes(500)
    assert len(read(put(bytes(content)))) / RATE > 3.0


def test_mutated_files_are_audio_or_refused(put: Put) -> None:
    """200 files with a few bytes changed, cut out or doubled: no other error is raised."""
    chosen = random.Random(16)
    whole = tone(0.5)
    files = [wav(whole), wav(whole, subtype="FLOAT"), *(sound(whole, format) for format in ("MP3", "FLAC", "OGG"))]
    heard = 0
    for number in range(200):
        content = bytearray(files[number % len(files)])
        for _ in range(chosen.randint(1, 6)):
            place = chosen.randrange(min(len(content), chosen.choice((64, 10_000))))
            if chosen.random() < 0.8:
                content[place] = chosen.randrange(256)
            elif chosen.random() < 0.5:
                del content[place : place + chosen.randint(1, 16)]
            else:
                content[place:place] = content[place : place + chosen.randint(1, 16)]
        try:
            samples = read(put(bytes(content)))
        except InvalidRequest:
            continue
        heard += 1
        assert samples.dtype == np.float32
        assert np.abs(samples).max(initial=0) <= 1e6, number  # not a number is not either
    assert 20 < heard < 190
