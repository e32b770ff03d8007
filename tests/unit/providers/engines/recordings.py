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


def noise(kind: str) -> Samples:
    """Ten seconds without speech, of which the voice detector takes the hiss and the breath for speech."""
    count = 10 * RATE
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=count))
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    if kind == "breath":
        spectrum[(frequencies < 300) | (frequencies > 3000)] = 0
    else:
        spectrum[1:] /= frequencies[1:] ** {"brown": 1.0, "pink": 0.5, "hiss": 0.0}[kind]
    samples = np.fft.irfft(spectrum, count)
    samples /= samples.std()
    if kind == "breath":
        samples *= np.clip(np.sin(2 * np.pi * np.arange(count) / RATE / 3), 0, 1) ** 2
    return samples * 10 ** ({"brown": -40, "pink": -30, "hiss": -30, "breath": -35}[kind] / 20)


def telephone(samples: Samples) -> Samples:
    """300 to 3400 Hz, sampled 8,000 times per second, in 8 bits by µ-law."""
    spectrum, frequencies = np.fft.rfft(samples), np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(frequencies < 300) | (frequencies > 3400)] = 0
    narrow = np.fft.irfft(spectrum, len(samples))[::2]
    narrow /= 2 * np.abs(narrow).max()
    coded = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
    return np.repeat(np.sign(coded) * (256 ** np.abs(coded) - 1) / 255, 2)
