"""Recorded speech as the sound of a realtime session."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import soundfile
from scipy.signal import resample_poly

from tests.unit.providers.engines.recordings import RATE, Samples

__all__ = ["pcm", "recording"]

SAMPLES = files("pytest_audioeval") / "samples" / "audio" / "en"


def recording(name: str) -> Samples:
    """Samples at `RATE`."""
    samples, rate = soundfile.read(SAMPLES / f"{name}.wav")
    assert rate == RATE
    return np.asarray(samples)


def pcm(samples: Samples) -> bytes:
    """Samples at `RATE` as PCM at 24 kHz."""
    made: bytes = (np.clip(resample_poly(samples, 3, 2), -1, 1) * 32767).astype("<i2").tobytes()
    return made
