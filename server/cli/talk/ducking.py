"""The microphone while the loudspeaker sounds: echo is not speech."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Ducking"]

_LOUD = 0.06
"""Level (root mean square, of 1) from which sound counts as speech while an answer is played. The terminal has no
cancellation of echoes, so this is higher than what a loudspeaker at a usual volume sends into the microphone."""
_HOLD = 8
"""Pieces that stay open after a loud one: the pauses within a word."""


class Ducking:
    """While `on`, quiet pieces become silence. A loud piece passes, with the one before it.

    Ducked sound is one piece late, so that no word loses its beginning.
    """

    def __init__(self) -> None:
        self.on = False
        self._held: bytes | None = None
        self._open = 0

    def passed(self, piece: bytes) -> bytes:
        """What to send now for this piece of 16-bit samples."""
        if not self.on or _level(piece) >= _LOUD:
            self._open = _HOLD if self.on else 0
            return self._released() + piece
        if self._open:
            self._open -= 1
            return piece
        before, self._held = self._held, piece
        return bytes(len(before)) if before is not None else b""

    def _released(self) -> bytes:
        held, self._held = self._held, None
        return held or b""


def _level(piece: bytes) -> float:
    samples: npt.NDArray[np.float64] = np.frombuffer(piece, np.int16) / 32768
    return float(np.sqrt(np.mean(samples * samples))) if samples.size else 0.0
