"""A sound in which every moment differs from every other, and independent decoders."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import soundfile

RATE = 24_000
Samples = np.ndarray[Any, Any]


def chirp(samples: int) -> Samples:
    """A tone that rises, as 16-bit samples."""
    time = np.arange(samples) / RATE
    return (8000 * np.sin(2 * np.pi * (300 + 400 * time) * time)).astype("<i2")


def decoded(audio_format: str, data: bytes) -> Samples:
    """The samples of a file at `RATE`, by libsndfile; ADTS, which it does not read, by FFmpeg."""
    if audio_format == "pcm":
        return np.frombuffer(data, "<i2")
    if audio_format == "aac":
        frames = [frame.to_ndarray()[0] for frame in av.open(io.BytesIO(data)).decode(audio=0)]
        return (np.concatenate(frames) * 32767).astype("<i2")
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == RATE
    return samples


def frames_of_flac(data: bytes) -> Samples:
    """The samples of a FLAC file without a known length, which libsndfile cannot read."""
    return np.concatenate([frame.to_ndarray()[0] for frame in av.open(io.BytesIO(data)).decode(audio=0)])


def delay(original: Samples, heard: Samples) -> int:
    """The delay of `heard` in samples, from the peak of the correlation."""
    size = 2 * max(len(original), len(heard))
    spectrum = np.fft.rfft(heard.astype(float), size) * np.conj(np.fft.rfft(original.astype(float), size))
    peak = int(np.argmax(np.fft.irfft(spectrum)))
    return peak if peak < size // 2 else peak - size
