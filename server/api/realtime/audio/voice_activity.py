"""Whether sound is speech, frame by frame: WebRTC's detector, and the level above that of the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import webrtcvad
from av.audio.resampler import AudioResampler

from providers.speech.types import SAMPLE_RATE

__all__ = ["VoiceActivity"]

_FRAME_MS = 20
_RATE = 16_000
"""Of the detector: it does not take 24 kHz."""
_FRAME = _RATE * _FRAME_MS // 1000
_BACKGROUND_FRAMES = 150
_FEW_FRAMES = 25
"""With fewer frames, the background is unknown, and any level is above it."""
_BACKGROUND_SHARE = 5
"""Percentile of the recent levels that counts as the background: there are pauses in speech."""
_MARGIN_DECIBELS = 12.0
"""Above the background, times the threshold."""
_SILENT = 1e-10

Samples = np.ndarray[Any, np.dtype[np.int16]]


class VoiceActivity:
    """Classifies one stream of PCM at 24 kHz. `threshold` is from 0 to 1: a higher one takes less for speech.

    The threshold chooses one of the detector's four modes, and how far speech must be above the background.
    """

    def __init__(self, threshold: float) -> None:
        self._resampler = AudioResampler(format="s16", layout="mono", rate=_RATE)
        self._detector = webrtcvad.Vad(min(3, int(threshold * 4)))
        self._margin = _MARGIN_DECIBELS * threshold
        self._left = np.empty(0, np.int16)
        self._levels: deque[float] = deque(maxlen=_BACKGROUND_FRAMES)

    def feed(self, pcm: bytes) -> Iterator[bool]:
        """For each frame that is complete with these samples, whether it is speech. Frame n begins at n times 20 ms."""
        samples = np.concatenate([self._left, *self._resampled(np.frombuffer(pcm, np.int16))])
        whole = len(samples) // _FRAME * _FRAME
        self._left = samples[whole:]
        for frame in samples[:whole].reshape(-1, _FRAME):
            yield self._is_speech(frame)

    def _resampled(self, samples: Samples) -> Iterator[Samples]:
        if len(samples):
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            for resampled in self._resampler.resample(frame):
                yield resampled.to_ndarray().reshape(-1).astype(np.int16, copy=False)

    def _is_speech(self, frame: Samples) -> bool:
        level = 10 * float(np.log10(np.mean(np.square(frame / 32768)) + _SILENT))
        known = len(self._levels) >= _FEW_FRAMES
        above = not known or level >= float(np.percentile(self._levels, _BACKGROUND_SHARE)) + self._margin
        self._levels.append(level)
        spoken: bool = self._detector.is_speech(frame.tobytes(), _RATE)  # every frame: it has a state
        return spoken and above
