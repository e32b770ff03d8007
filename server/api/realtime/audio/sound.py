"""Sound in the formats of the wire, from and to PCM at 24 kHz: 16-bit samples as they are, or G.711 at 8 kHz.

G.711 is ITU-T's of 1988. Its samples are a third as many: a low-pass of 3.4 kHz lies between the two rates.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

from contracts.realtime.session import RealtimeAudioFormat

__all__ = ["SoundReader", "SoundWriter", "encode_whole_sound", "reader_of", "writer_of"]

RATIO = 3
"""24 kHz over 8 kHz."""
_TAPS = 96 + 1
_CUTOFF = 3400 / 24_000
_ULAW_BIAS = 132
_CLIP = 32_635


class SoundReader(Protocol):
    """Reads the client's sound, piece by piece."""

    def decode(self, data: bytes) -> bytes:
        """PCM at 24 kHz."""


class SoundWriter(Protocol):
    """Writes sound for the client, piece by piece."""

    def encode(self, pcm: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


def reader_of(format: RealtimeAudioFormat | None) -> SoundReader:
    return _PcmReader() if format is None or format.type == "audio/pcm" else _G711Reader(format.type)


def writer_of(format: RealtimeAudioFormat | None) -> SoundWriter:
    return _PcmWriter() if format is None or format.type == "audio/pcm" else _G711Writer(format.type)


def encode_whole_sound(format: RealtimeAudioFormat | None, pcm: bytes) -> bytes:
    writer = writer_of(format)
    return writer.encode(pcm) + writer.finish()


class _PcmReader:
    """Whole samples: a client may cut its sound anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def decode(self, data: bytes) -> bytes:
        data = self._rest + data
        whole = len(data) - len(data) % 2
        self._rest = data[whole:]
        return data[:whole]


class _PcmWriter:
    def encode(self, pcm: bytes) -> bytes:
        return pcm

    def finish(self) -> bytes:
        return b""


class _G711Reader:
    """Three samples for each: zeros between them, then the low-pass."""

    def __init__(self, law: str) -> None:
        self._table = _expansion(law)
        self._filter = _LowPass()

    def decode(self, data: bytes) -> bytes:
        import numpy as np

        samples = self._table[np.frombuffer(data, np.uint8)].astype(np.float64)
        spread = np.zeros(len(samples) * RATIO)
        spread[::RATIO] = samples * RATIO
        return _pcm(self._filter.apply(spread))


class _G711Writer:
    """Every third sample after the low-pass, whose delay is taken off the beginning and made up for at the end."""

    def __init__(self, law: str) -> None:
        self._table = _compression(law)
        self._filter = _LowPass()
        self._skip = _TAPS // 2
        """Samples to pass over before the next one."""

    def encode(self, pcm: bytes) -> bytes:
        import numpy as np

        return self._kept(np.frombuffer(pcm, np.int16).astype(np.float64))

    def finish(self) -> bytes:
        import numpy as np

        return self._kept(np.zeros(_TAPS // 2))

    def _kept(self, samples: Any) -> bytes:
        import numpy as np

        filtered = self._filter.apply(samples)
        kept = filtered[self._skip :: RATIO]
        if self._skip >= len(filtered):
            self._skip -= len(filtered)
        else:
            self._skip += len(kept) * RATIO - len(filtered)
        codes = np.frombuffer(_pcm(kept), np.int16).astype(np.int32) + 32_768
        return bytes(self._table[codes].tobytes())


class _LowPass:
    """A windowed sinc over pieces of one sound."""

    def __init__(self) -> None:
        import numpy as np

        self._before = np.zeros(_TAPS - 1)

    def apply(self, samples: Any) -> Any:
        import numpy as np

        joined = np.concatenate([self._before, samples])
        self._before = joined[len(joined) - (_TAPS - 1) :]
        return np.convolve(joined, _kernel(), "valid")


def _pcm(samples: Any) -> bytes:
    import numpy as np

    return bytes(np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16).tobytes())


@functools.cache
def _kernel() -> Any:
    import numpy as np

    place = np.arange(_TAPS) - _TAPS // 2
    kernel = 2 * _CUTOFF * np.sinc(2 * _CUTOFF * place) * np.blackman(_TAPS)
    return kernel / kernel.sum()


@functools.cache
def _expansion(law: str) -> Any:
    """The sample of each code."""
    import numpy as np

    codes = np.arange(256)
    if law == "audio/pcmu":
        codes = ~codes & 0xFF
        exponent, mantissa = (codes >> 4) & 7, codes & 15
        size = ((2 * mantissa + 33) << (exponent + 2)) - _ULAW_BIAS
        return np.where(codes & 0x80, -size, size).astype(np.int16)
    codes ^= 0x55
    exponent, mantissa = (codes >> 4) & 7, codes & 15
    size = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 264) << np.maximum(exponent - 1, 0))
    return np.where(codes & 0x80, size, -size).astype(np.int16)


@functools.cache
def _compression(law: str) -> Any:
    """The code of each sample, from -32768: the one whose sample is nearest."""
    import numpy as np

    table = _expansion(law).astype(np.int32)
    order = np.argsort(table, kind="stable")
    known = table[order]
    bounds = (known[1:] + known[:-1]) / 2
    return order[np.searchsorted(bounds, np.arange(-32_768, 32_768))].astype(np.uint8)
