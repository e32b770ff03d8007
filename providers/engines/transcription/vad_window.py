"""The part of a recording that is being transcribed, and where speech is in it. Touches no MLX arrays."""

from __future__ import annotations

import numpy as np
import webrtcvad

from providers.engines.transcription.audio_reader import SAMPLE_RATE, AudioReader, Samples

__all__ = ["Recording"]

_FRAME = SAMPLE_RATE * 30 // 1000
"""Samples of a frame, which the detector classifies as speech or not: 30 ms, its longest frame."""
_MODE = 1
"""From 0 to 3. The higher modes take quiet beginnings for silence and lose them. Music and loud noise pass all four."""
_RUN = 10
_SPOKEN = 7
"""There is speech where this many of `_RUN` frames are speech. The detector reports three more frames after the last
frame of speech: a click makes five, a short word ten."""


class Recording:
    """A window of bounded length over an `AudioReader`. Places are samples from the start of the file."""

    def __init__(self, reader: AudioReader, *, detect: bool = True) -> None:
        """Without `detect`, all of the recording counts as speech."""
        self.reader = reader
        self._samples = np.empty(0, np.float32)
        self._start = 0
        self._speech: list[bool] = []
        """Whether each whole frame of `_samples` is speech."""
        self._detector = webrtcvad.Vad(_MODE) if detect else None
        self.ended = False
        """Whether the whole file has been read."""

    @property
    def end(self) -> int:
        """The place after the last sample read, which is the length of the file once `ended`."""
        return self._start + len(self._samples)

    def move(self, begin: int, end: int) -> None:
        """Read up to `end` or the file's end, and drop the samples before `begin`.

        It never moves back: `begin` must not be lower than before.
        """
        self._forget(begin)
        while not self.ended and self.end < end:
            piece = self.reader.read(end - self.end)
            self.ended = not len(piece)
            self._samples = np.concatenate([self._samples, piece])
        self._listen()

    def samples(self, begin: int, end: int) -> Samples:
        """The samples between two places, as far as they have been read."""
        return self._samples[max(0, begin - self._start) : max(0, end - self._start)]

    def onset(self, begin: int) -> int | None:
        """The place where speech starts in the samples from `begin` on; None if there is none."""
        first = max(0, (begin - self._start) // _FRAME)
        spoken = np.array(self._speech[first:], dtype=int)
        if len(spoken) == 0:
            return None
        counts = np.convolve(spoken, np.ones(_RUN, dtype=int))[: len(spoken)]  # for the run that ends at each frame
        runs = np.flatnonzero(counts >= _SPOKEN)
        if len(runs) == 0:
            return None
        run = first + max(0, int(runs[0]) - _RUN + 1)
        return max(begin, self._start + (run + int(np.argmax(self._speech[run:]))) * _FRAME)

    def _forget(self, begin: int) -> None:
        # Drop whole frames, so that the detector's frames keep their places.
        frames = min((begin - self._start) // _FRAME, len(self._speech))
        if frames > 0:
            self._samples = self._samples[frames * _FRAME :].copy()
            self._start += frames * _FRAME
            del self._speech[:frames]

    def _listen(self) -> None:
        done = len(self._speech) * _FRAME
        new = self._samples[done : len(self._samples) // _FRAME * _FRAME]
        pcm = (np.clip(new, -1.0, 1.0) * 32767).astype("<i2").reshape(-1, _FRAME)
        if self._detector is None:
            self._speech += [True] * len(pcm)
            return
        self._speech += [self._detector.is_speech(frame.tobytes(), SAMPLE_RATE) for frame in pcm]
