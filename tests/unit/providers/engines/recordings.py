"""Recordings made on the fly."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import soundfile

RATE = 16_000
Samples = np.ndarray[Any, np.dtype[np.float64]]


def tone(seconds: float, rate: int = RATE, hertz: float = 220.0) -> Samples:
    """Sound that the voice detector takes for speech: a vowel's harmonics, loud and soft four times per second."""
    at = np.arange(int(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * hertz * number * at) / number for number in range(1, 8))
    return 0.2 * voice * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at))


def silence(seconds: float, rate: int = RATE) -> Samples:
    return np.zeros(int(seconds * rate))


def wav(samples: Samples, rate: int = RATE, **options: Any) -> bytes:
    """Samples, or frames of several channels, as a WAV file."""
    return sound(samples, "WAV", rate, **options)


def sound(samples: Samples, format: str, rate: int = RATE, **options: Any) -> bytes:
    """A file written by libsndfile, which shares no code with the engine's reader."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, **options)
    return file.getvalue()


def encoded(samples: Samples, container: str, codec: str, rate: int = 48_000) -> bytes:
    """A file written by FFmpeg's encoders, for formats that libsndfile does not write."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(resampled))
        output.mux(stream.encode(None))
    return file.getvalue()
