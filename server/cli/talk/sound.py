"""Where a conversation's sound comes from and goes to: the machine's devices, or WAV files. 16 bits, 24 kHz, mono."""

from __future__ import annotations

import threading
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

__all__ = ["RATE", "FileSpeaker", "Loudspeaker", "Microphone", "SoundUnusable", "Speaker", "recorded"]

RATE = 24_000
_PIECE = 960
"""Samples of a piece of the microphone: 40 ms."""


class SoundUnusable(Exception):
    """Raised when a device or file cannot be used; the message is for the user."""


class Speaker(Protocol):
    """Plays answers. Positions are seconds of the answer that began last."""

    def begin(self) -> None:
        """Begin an answer; what is left of the one before is dropped."""

    def add(self, pcm: bytes) -> None:
        """Add a piece of the answer."""

    def position(self) -> float:
        """How much of the answer was played."""

    def stop(self) -> float:
        """Drop the rest of the answer. Returns how much of it was played."""

    @property
    def idle(self) -> bool:
        """Whether all that was added has been played."""

    def close(self) -> None: ...


class FileSpeaker:
    """Writes answers into a WAV file, one after the other. What is written counts as played."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = wave.open(str(path), "wb")  # noqa: SIM115  `close` closes it
        except OSError as error:
            raise SoundUnusable(f"cannot write {path}: {error.strerror}") from None
        self._file.setnchannels(1)
        self._file.setsampwidth(2)
        self._file.setframerate(RATE)
        self._bytes = 0
        self.idle = True

    def begin(self) -> None:
        self._bytes = 0

    def add(self, pcm: bytes) -> None:
        self._file.writeframes(pcm)
        self._bytes += len(pcm)

    def position(self) -> float:
        return self._bytes / 2 / RATE

    def stop(self) -> float:
        return self.position()

    def close(self) -> None:
        self._file.close()


class Loudspeaker:
    """The machine's default output. Its callback runs in a thread of the sound library."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._played = 0
        self._after = 0
        """Bytes of silence since the last of the answer was handed over."""
        self._stream = _opened("RawOutputStream", self._fill)

    def begin(self) -> None:
        with self._lock:
            self._waiting.clear()
            self._played = self._after = 0

    def add(self, pcm: bytes) -> None:
        with self._lock:
            self._waiting += pcm

    def position(self) -> float:
        on_the_way = float(self._stream.latency)  # what the library has, but the loudspeaker has not
        with self._lock:
            played, after = self._played / 2 / RATE, self._after / 2 / RATE
        return max(0.0, min(played, played + after - on_the_way))

    def stop(self) -> float:
        played = self.position()
        with self._lock:
            self._waiting.clear()
        return played

    @property
    def idle(self) -> bool:
        with self._lock:
            return not self._waiting

    def close(self) -> None:
        self._stream.close()

    def _fill(self, out: Any, frames: int, _time: Any, _status: Any) -> None:
        with self._lock:
            piece = bytes(self._waiting[: 2 * frames])
            del self._waiting[: 2 * frames]
            self._played += len(piece)
            self._after = 0 if piece else self._after + 2 * frames
        out[:] = piece + bytes(2 * frames - len(piece))


class Microphone:
    """The machine's default input. `heard` is called with each piece, in a thread of the sound library."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._stream = _opened("RawInputStream", lambda data, *_: heard(bytes(data)))

    def close(self) -> None:
        self._stream.close()


def _opened(kind: str, callback: Callable[..., None]) -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: its library, PortAudio, is not on this machine
        raise SoundUnusable(
            f"this machine's sound needs the extra `talk`: pip install 'mlx-openai-server-lab[talk]' ({error})"
        ) from None
    try:
        stream = getattr(sounddevice, kind)(
            samplerate=RATE, blocksize=_PIECE, channels=1, dtype="int16", callback=callback
        )
        stream.start()
    except sounddevice.PortAudioError as error:
        device = "microphone" if "Input" in kind else "loudspeaker"
        raise SoundUnusable(
            f"no {device} can be used ({error}); --input and --output take and write WAV files instead"
        ) from None
    return stream


def recorded(path: Path) -> bytes:
    """The sound of a WAV file, at the rate of a conversation.

    Raises:
        SoundUnusable: the file cannot be read, or is not 16-bit PCM.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise SoundUnusable(f"{path} has {8 * file.getsampwidth()}-bit samples; 16-bit ones are needed")
            rate, channels = file.getframerate(), file.getnchannels()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    except OSError as error:
        raise SoundUnusable(f"cannot read {path}: {error.strerror}") from None
    except (wave.Error, EOFError):
        raise SoundUnusable(f"{path} is not a WAV file of PCM samples") from None
    mono = samples.reshape(-1, channels).mean(axis=1)
    at = np.arange(0, len(mono), rate / RATE)
    resampled = np.interp(at, np.arange(len(mono)), mono) if len(mono) else mono
    return bytes(resampled.round().astype("<i2").tobytes())
