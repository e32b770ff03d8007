"""Encoders of the formats that need PyAV. Containers of a header or two are written here; Ogg's muxer is PyAV's."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from providers.speech.types import SAMPLE_RATE

if TYPE_CHECKING:
    from av.packet import Packet as AnyPacket

    Packet = AnyPacket[AudioStream]  # generic only for the type checker

__all__ = ["AacEncoder", "FlacEncoder", "Mp3Encoder", "OpusEncoder"]

SampleFormat = Literal["s16", "s16p", "fltp"]
_SAMPLE = np.dtype("<i2")
_TIME_BASE = Fraction(1, SAMPLE_RATE)


class _Framer:
    """Cuts samples, which arrive in portions of any length, into a codec's frames."""

    def __init__(self, context: AudioCodecContext, sample_format: SampleFormat, lead: int = 0) -> None:
        """`lead` zeros go before the first sample."""
        self._context = context
        self._format = sample_format
        self._size = context.frame_size
        self._rest = np.zeros(lead, _SAMPLE)
        self._position = 0

    def add(self, pcm: bytes) -> list[Packet]:
        samples = np.concatenate((self._rest, np.frombuffer(pcm, _SAMPLE)))
        whole = len(samples) - len(samples) % self._size
        self._rest = samples[whole:]
        frames = (samples[start : start + self._size] for start in range(0, whole, self._size))
        return [packet for frame in frames for packet in self._frame(frame)]

    def end(self) -> list[Packet]:
        last = self._frame(self._rest) if len(self._rest) else []
        return [*last, *self._context.encode(None)]

    def _frame(self, samples: np.ndarray[Any, Any]) -> list[Packet]:
        row = samples.reshape(1, -1)
        if self._format == "fltp":
            row = row.astype(np.float32) / 32768
        frame = AudioFrame.from_ndarray(row, format=self._format, layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = _TIME_BASE
        frame.pts = self._position
        self._position += len(samples)
        return self._context.encode(frame)


def _opened(
    codec: str, sample_format: SampleFormat, *, bit_rate: int | None = None, options: dict[str, str] | None = None
) -> AudioCodecContext:
    context = AudioCodecContext.create(codec, "w")
    assert isinstance(context, AudioCodecContext)
    _configure(context, sample_format, bit_rate)
    context.options = options or {}
    context.open()
    return context


def _configure(context: AudioCodecContext, sample_format: SampleFormat, bit_rate: int | None) -> None:
    context.sample_rate = SAMPLE_RATE
    context.layout = "mono"
    context.format = sample_format
    context.time_base = _TIME_BASE
    if bit_rate is not None:
        context.bit_rate = bit_rate


class _FrameStream:
    """A file of consecutive frames. The first frames hold only the encoder's delay: some of them are skipped."""

    def __init__(self, framer: _Framer, *, frame_size: int, skipped: int, kept: int = 0) -> None:
        self._framer = framer
        self._frame_size = frame_size
        self._unwanted = skipped
        self._samples = 0
        self._written = -kept

    def encode(self, pcm: bytes) -> bytes:
        self._samples += len(pcm) // _SAMPLE.itemsize
        return b"".join(map(self._frame, self._kept(self._framer.add(pcm))))

    def finish(self) -> bytes:
        """The remaining frames, without frames that hold only padding."""
        packets = self._kept(self._framer.end())
        wanted = -(-self._samples // self._frame_size) - self._written
        return b"".join(map(self._frame, packets[:wanted]))

    def _kept(self, packets: list[Packet]) -> list[Packet]:
        kept = packets[self._unwanted :]
        self._unwanted -= len(packets) - len(kept)
        return kept

    def _frame(self, packet: Packet) -> bytes:
        self._written += 1
        return bytes(packet)


class Mp3Encoder(_FrameStream):
    """MPEG-2 layer III, 96 kbit/s, without a bit reservoir, so that every frame decodes independently.

    LAME and a decoder together delay by 1105 samples; 47 zeros before the first sample extend that to two frames. Where
    the length is known, these stay, and a frame before them tells decoders what to cut off.
    """

    _FRAME = 576
    _DELAY = 1105
    _DECODER_DELAY = 529
    """Decoders cut off this many samples more than the file tells."""

    def __init__(self, samples: int | None) -> None:
        delay = -(-self._DELAY // self._FRAME)
        context = _opened("libmp3lame", "s16p", bit_rate=96_000, options={"reservoir": "0"})
        framer = _Framer(context, "s16p", lead=delay * self._FRAME - self._DELAY)
        kept = 0 if samples is None else delay
        super().__init__(framer, frame_size=self._FRAME, skipped=delay - kept, kept=kept)
        self._length = samples
        self._lead = kept * self._FRAME

    def _frame(self, packet: Packet) -> bytes:
        data = super()._frame(packet)
        if self._length is None:
            return data
        head, self._length = self._info(data, self._length), None
        return head + data

    def _info(self, first: bytes, samples: int) -> bytes:
        """Xing's frame, which is empty, with LAME's fields. `Info` means a constant bit rate."""
        frames = -(-(self._lead + samples) // self._FRAME)
        before = self._lead - self._DECODER_DELAY
        after = frames * self._FRAME - before - samples
        return b"".join(
            (
                first[:4],
                bytes(9),  # the side information of MPEG-2, mono
                b"Info" + (0xF).to_bytes(4, "big"),
                frames.to_bytes(4, "big"),
                ((frames + 1) * len(first)).to_bytes(4, "big"),
                bytes(entry * 256 // 100 for entry in range(100)),  # each percent begins after as many bytes
                bytes(4),  # quality
                b"LAME3.100" + bytes(12),
                (before << 12 | after).to_bytes(3, "big"),
            )
        ).ljust(len(first), b"\0")


class AacEncoder(_FrameStream):
    """AAC-LC, 96 kbit/s, in ADTS. The encoder's delay is one frame."""

    _FRAME = 1024
    _RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)

    def __init__(self, samples: int | None) -> None:
        framer = _Framer(_opened("aac", "fltp", bit_rate=96_000), "fltp")
        super().__init__(framer, frame_size=self._FRAME, skipped=1)

    def _frame(self, packet: Packet) -> bytes:
        """ISO/IEC 14496-3, 1.A.2.2: syncword, MPEG-4 without CRC, LC, rate, one channel, length, VBR, one block."""
        payload = super()._frame(packet)
        length = len(payload) + 7
        rate = self._RATES.index(SAMPLE_RATE)
        header = 0xFFF1 << 40 | 1 << 38 | rate << 34 | 1 << 30 | length << 13 | 0x7FF << 2
        return header.to_bytes(7, "big") + payload


class FlacEncoder:
    """Native FLAC. STREAMINFO contains the length where it is known, and otherwise marks it as unknown."""

    _LENGTH_BITS = 36

    def __init__(self, samples: int | None) -> None:
        context = _opened("flac", "s16")
        self._framer = _Framer(context, "s16")
        info = int.from_bytes(context.extradata or b"", "big")
        # 16 bytes of MD5 follow the length; zeros mean that the MD5 was not computed.
        info |= ((samples or 0) & (1 << self._LENGTH_BITS) - 1) << 128
        self._head = b"fLaC" + b"\x80\x00\x00\x22" + info.to_bytes(34, "big")

    def encode(self, pcm: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + b"".join(map(bytes, self._framer.add(pcm)))

    def finish(self) -> bytes:
        return b"".join(map(bytes, self._framer.end()))


class OpusEncoder:
    """Opus, 48 kbit/s, in Ogg. Its header and last page contain the samples that decoders cut off."""

    def __init__(self, samples: int | None) -> None:
        self._file = _Tape()
        # bitexact: a fixed serial number, so that equal speech gives equal bytes. Pages of 0.1 s: with the muxer's
        # default of one second, the last words of a sentence would wait for the next sentence.
        options = {"fflags": "+bitexact", "flush_packets": "1", "page_duration": "100000"}
        self._container = av.open(self._file, "w", format="ogg", options=options)
        stream = self._container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        assert isinstance(stream, AudioStream)
        context = stream.codec_context
        _configure(context, "s16", 48_000)
        context.open()
        self._stream = stream
        self._framer = _Framer(context, "s16")

    def encode(self, pcm: bytes) -> bytes:
        self._mux(self._framer.add(pcm))
        return self._file.take()

    def finish(self) -> bytes:
        self._mux(self._framer.end())
        self._container.close()
        return self._file.take()

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            packet.stream = self._stream
            self._container.mux(packet)


class _Tape:
    """A file that PyAV writes. `take` returns what was written since the last call."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
