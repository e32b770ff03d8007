"""Every format decodes to its input, however that was cut, and its first bytes never wait for its last."""

from __future__ import annotations

import io
import struct
import sys
from itertools import pairwise
from typing import get_args

import av
import numpy as np
import pytest
import soundfile

from contracts.speech import AudioFormat
from providers.errors import UnsupportedParameter
from server.api.speech.encoders import FORMATS, encode_whole, new_encoder
from tests.unit.server.api.speech.sounds import RATE, chirp, decoded, delay, frames_of_flac

FRAME = {"mp3": 576, "opus": 480, "aac": 1024, "flac": 0, "wav": 0, "pcm": 0}
"""Samples of a codec's frame; without a codec, or with one that keeps the count, no sample may be lost or added."""
STREAMED = [name for name in FRAME if name != "flac"]
LENGTHS = [2 * RATE, 2 * RATE + 123, 4200]


def streamed(audio_format: AudioFormat, *pieces: bytes) -> list[bytes]:
    encoder = new_encoder(audio_format)
    return [*map(encoder.encode, pieces), encoder.finish()]


def test_every_format_of_the_contract_can_be_written() -> None:
    assert set(FORMATS) == set(get_args(AudioFormat)) == set(FRAME)


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("audio_format", STREAMED)
def test_a_stream_decodes_to_its_length_within_a_frame(audio_format: AudioFormat, samples: int) -> None:
    sound = chirp(samples)
    heard = decoded(audio_format, b"".join(streamed(audio_format, sound.tobytes())))

    assert 0 <= len(heard) - samples <= FRAME[audio_format]
    assert abs(delay(sound, heard)) <= 1, "visemes would be early or late"


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("audio_format", FRAME)
def test_a_whole_file_decodes_to_its_length_within_a_frame(audio_format: AudioFormat, samples: int) -> None:
    sound = chirp(samples)
    heard = decoded(audio_format, encode_whole(audio_format, sound.tobytes()))

    assert 0 <= len(heard) - samples <= FRAME[audio_format]
    assert abs(delay(sound, heard)) <= 1


@pytest.mark.parametrize("audio_format", FRAME)
def test_the_boundaries_of_pieces_make_no_difference(audio_format: AudioFormat) -> None:
    sound = chirp(RATE).tobytes()
    cuts = [0, 2, 1200, 1202, 20_000, 20_000, 31_000, len(sound)]
    pieces = [sound[start:end] for start, end in pairwise(cuts)]

    assert b"".join(streamed(audio_format, *pieces)) == b"".join(streamed(audio_format, sound))


@pytest.mark.parametrize("audio_format", FRAME)
def test_two_concurrent_encoders_share_nothing(audio_format: AudioFormat) -> None:
    one, other = chirp(RATE).tobytes(), chirp(RATE)[::-1].tobytes()
    encoders = [new_encoder(audio_format), new_encoder(audio_format)]
    mixed = [b"", b""]
    for start in range(0, len(one), 5000):
        for place, sound in enumerate((one, other)):
            mixed[place] += encoders[place].encode(sound[start : start + 5000])

    separately = [b"".join(streamed(audio_format, sound)) for sound in (one, other)]
    assert [data + encoder.finish() for data, encoder in zip(mixed, encoders, strict=True)] == separately


@pytest.mark.parametrize("audio_format", FRAME)
def test_the_audio_of_a_piece_leaves_with_it(audio_format: AudioFormat) -> None:
    """All but the codec's last frames, so that the words of one sentence do not wait for the next."""
    sound = chirp(2 * RATE)
    first, _ = streamed(audio_format, sound.tobytes())
    heard = frames_of_flac(first) if audio_format == "flac" else decoded(audio_format, first)

    assert len(heard) >= len(sound) - RATE / 4


def test_a_stream_of_flac_marks_its_length_as_unknown_and_loses_nothing() -> None:
    sound = chirp(RATE + 7)
    data = b"".join(streamed("flac", sound.tobytes()))

    assert int.from_bytes(data[8:42], "big") >> 128 & (1 << 36) - 1 == 0
    assert np.array_equal(frames_of_flac(data), sound)


def test_a_stream_of_wav_has_the_sizes_that_openai_sends() -> None:
    data = b"".join(streamed("wav", bytes(100)))
    assert struct.unpack("<4sI4s", data[:12]) == (b"RIFF", 0xFFFFFFFF, b"WAVE")
    assert struct.unpack("<4sI", data[36:44]) == (b"data", 0xFFFFFFFF)


def test_a_whole_wav_has_its_length() -> None:
    data = encode_whole("wav", bytes(100))
    assert struct.unpack("<4sI4s", data[:12]) == (b"RIFF", len(data) - 8, b"WAVE")
    assert struct.unpack("<4sI", data[36:44]) == (b"data", 100)


@pytest.mark.parametrize("samples", [1, 576, 577, 5 * RATE])
def test_a_whole_mp3_tells_its_length_and_plays_as_the_stream_does(samples: int) -> None:
    sound = chirp(samples).tobytes()
    whole, stream = encode_whole("mp3", sound), b"".join(streamed("mp3", sound))
    assert whole[3 * 288 :] == stream
    assert whole[13:17] == b"Info"
    assert int.from_bytes(whole[21:25], "big") == -(-samples // 576) + 2
    assert int.from_bytes(whole[25:29], "big") == len(whole)
    assert soundfile.info(io.BytesIO(whole)).frames == samples
    with av.open(io.BytesIO(whole)) as file:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    assert len(heard) == samples
    after = 2 * 576  # in a stream, the first frames lack those before them
    if samples > after:
        assert np.array_equal(decoded("mp3", whole)[after:], decoded("mp3", stream)[after:samples])
        assert delay(chirp(samples), decoded("mp3", whole)) == 0


@pytest.mark.parametrize("audio_format", FRAME)
def test_without_the_speech_extra_the_formats_that_need_it_are_refused_by_name(
    audio_format: AudioFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "server.api.speech.codecs", raising=False)
    monkeypatch.delattr("server.api.speech.codecs", raising=False)
    if audio_format in ("wav", "pcm"):
        assert encode_whole(audio_format, bytes(4)).endswith(bytes(4))
        return
    with pytest.raises(UnsupportedParameter, match=audio_format) as caught:
        new_encoder(audio_format)
    assert caught.value.param == "response_format"
