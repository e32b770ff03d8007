"""A recording in the model's format: mono float32 at 16 kHz, decoded piece by piece with FFmpeg's libraries (PyAV).

Decoding is lazy, so that a file of any length takes the memory of one piece. Files are not trusted: only containers of
audio are opened, never playlists or other formats that name further files or addresses.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler

from providers.errors import InvalidRequest

__all__ = ["SAMPLE_RATE", "AudioReader"]

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16_000
"""Samples per second, for which every Whisper was trained."""
_CONTAINERS = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav,webm"
_RATES = range(1_000, 768_001)
"""Accepted sample rates. Beyond them, resampling would turn a packet into gigabytes."""
_LOUDEST = 1e6
"""Full scale is 1. Files of floating-point samples may have any number; spectra of larger ones would overflow."""
_PARAM = "file"

Samples = np.ndarray[Any, np.dtype[np.float32]]


_MOST_CHANNELS = 512
"""FFmpeg's own limit. PyAV 18 reports a larger number as none; PyAV 19 reports the number, and then fails to decode."""
_LENIENT: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "ignore"}
"""Tags may be in any encoding, and no caller reads them. PyAV 19 accepts any encoding and has no such option."""


class AudioReader:
    """Reads one file from its beginning to its end. The caller closes it.

    Broken packets are skipped, as players do, and a truncated file ends where it was cut.

    Raises:
        InvalidRequest: the file cannot be read as audio, or has none.
    """

    def __init__(self, path: Path) -> None:
        try:
            options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
            self._container = av.open(str(path), options=options, **_LENIENT)
        except (av.error.FFmpegError, ValueError) as error:
            raise _unreadable(error) from None
        self._left: list[Samples] = []
        try:
            self._pieces = self._decode(self._audio_stream())
            first = next(self._pieces, None)
            if first is None:
                raise InvalidRequest("file: there is no audio in this file", param=_PARAM)
            self._left.append(first)
        except BaseException:
            self.close()
            raise

    @property
    def duration(self) -> float | None:
        """Seconds, from the file's metadata; None if it has no duration."""
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        elif self._container.duration is not None:
            seconds = self._container.duration / av.time_base
        else:
            return None
        return seconds if seconds > 0 else None

    def read(self, count: int) -> Samples:
        """The next `count` samples; fewer only at the end, and none after it."""
        missing = count - sum(len(piece) for piece in self._left)
        while missing > 0 and (piece := next(self._pieces, None)) is not None:
            self._left.append(piece)
            missing -= len(piece)
        joined = np.concatenate(self._left) if self._left else np.empty(0, np.float32)
        self._left = [joined[count:]] if len(joined) > count else []
        return joined[:count]

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._container.close()

    def _audio_stream(self) -> Any:
        if not self._container.streams.audio:
            raise InvalidRequest("file: there is no audio in this file", param=_PARAM)
        self._stream = stream = self._container.streams.audio[0]
        context = stream.codec_context
        if context is None:
            raise InvalidRequest("file: the codec of this file is unknown", param=_PARAM)
        if context.sample_rate not in _RATES:
            message = f"file: a sample rate of {context.sample_rate} Hz is not supported"
            raise InvalidRequest(message, param=_PARAM)
        if context.channels < 1:
            raise InvalidRequest("file: the audio in this file has no channels", param=_PARAM)
        if context.channels > _MOST_CHANNELS:
            raise InvalidRequest(f"file: {context.channels:,} channels are not supported", param=_PARAM)
        return stream

    def _decode(self, stream: Any) -> Iterator[Samples]:
        """The pieces that are not empty."""
        resampler = _resampler()
        for frame in self._frames(stream):
            resampled = _resampled(resampler, frame)
            if resampled is None:  # the file's rate or channels change
                yield from _arrays(_resampled(resampler, None) or [])
                resampler = _resampler()
                resampled = _resampled(resampler, frame)
            if resampled is None:
                logger.debug("a frame of %s channels cannot be converted", frame.layout.nb_channels)
                resampler = _resampler()
            yield from _arrays(resampled or [])
        yield from _arrays(_resampled(resampler, None) or [])

    def _frames(self, stream: Any) -> Iterator[Any]:
        packets = self._container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                logger.debug("the file ends early: %s", error)
                packet = None
            try:
                yield from stream.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                logger.debug("a packet cannot be decoded: %s", error)
            if packet is None:
                return


def _resampler() -> AudioResampler:
    return AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)


def _resampled(resampler: AudioResampler, frame: Any) -> list[Any] | None:
    """The frame in our rate and form, and with None the rest of those before it; None: FFmpeg cannot convert it."""
    try:
        return list(resampler.resample(frame))
    except (av.error.FFmpegError, ValueError):
        return None


def _arrays(frames: list[Any]) -> Iterator[Samples]:
    for frame in frames:
        if frame.samples:
            samples = np.asarray(frame.to_ndarray(), dtype=np.float32).reshape(-1)
            yield np.nan_to_num(samples, copy=False, nan=0.0).clip(-_LOUDEST, _LOUDEST)


def _unreadable(error: Exception) -> InvalidRequest:
    reason = getattr(error, "strerror", None) or str(error)
    return InvalidRequest(
        f"file: this cannot be read as audio ({reason}); send wav, mp3, flac, ogg, m4a or webm", param=_PARAM
    )
