"""Recorded speech as files that clients of `/v1/realtime` send: 16-bit mono WAV."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import soundfile

__all__ = ["NAMES", "said"]

NAMES = ("hello_world", "quick_brown_fox", "counting")
_RECORDINGS = files("pytest_audioeval") / "samples" / "audio" / "en"


def said(folder: Path, name: str, silence: float = 0.0) -> Path:
    """A file in `folder` with this recording, followed by `silence` seconds of silence."""
    samples, rate = soundfile.read(_RECORDINGS / f"{name}.wav")
    path = folder / f"{name}.wav"
    soundfile.write(path, np.concatenate([samples, np.zeros(int(silence * rate))]), rate, subtype="PCM_16")
    return path
