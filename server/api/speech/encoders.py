"""Encoders of mono 16-bit PCM at `SAMPLE_RATE`. Each writes a file from front to back.

The length of a stream is unknown when its first bytes are sent, so nothing is patched later, and no tag can contain the
samples that a decoder should cut off. The mp3 and aac encoders therefore leave out the frames that hold only the
encoder's delay. Decoded audio starts with the first sample and ends within one frame after the last. Of a whole file,
wav, flac and mp3 tell the length.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import attrs

from contracts.speech import AudioFormat
from providers.errors import UnsupportedParameter
from providers.speech.types import SAMPLE_RATE

__all__ = ["FORMATS", "AudioEncoder", "AudioFormatInfo", "encode_whole", "new_encoder"]

SAMPLE_BYTES = 2
_UNKNOWN = 0xFFFFFFFF
"""The sizes that OpenAI writes into a wav file of unknown length. Decoders then read to the end of the file."""


class AudioEncoder(Protocol):
    """Makes one file. Belongs to one utterance; one thread uses it at a time."""

    def encode(self, pcm: bytes) -> bytes:
        """The next bytes of the file; may be empty."""

    def finish(self) -> bytes:
        """The last bytes."""


EncoderFactory = Callable[[int | None], AudioEncoder]
"""Takes the number of samples, or None where it is unknown."""


@attrs.frozen
class AudioFormatInfo:
    """The media type and the encoder of a format."""

    media_type: str
    factory: EncoderFactory
    needs_codec: bool = True
    """Whether the encoder is PyAV's."""
    wants_length: bool = False
    """Whether common decoders (libsndfile) need the length in the header, although the format does not."""


class _Pcm:
    """The samples, unchanged."""

    def __init__(self, samples: int | None) -> None:
        pass

    def encode(self, pcm: bytes) -> bytes:
        return pcm

    def finish(self) -> bytes:
        return b""


class _Wav:
    """A RIFF header, then the samples."""

    def __init__(self, samples: int | None) -> None:
        size = None if samples is None else samples * SAMPLE_BYTES
        self._head = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", _UNKNOWN if size is None else 36 + size, b"WAVE"),
            *(b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * SAMPLE_BYTES, SAMPLE_BYTES, 8 * SAMPLE_BYTES),
            *(b"data", _UNKNOWN if size is None else size),
        )

    def encode(self, pcm: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + pcm

    def finish(self) -> bytes:
        return self.encode(b"")


def _codec_encoder(name: str, samples: int | None) -> AudioEncoder:
    # Imported here: PyAV is an extra, and its import takes a while.
    from server.api.speech import codecs

    encoder: AudioEncoder = getattr(codecs, name)(samples)
    return encoder


FORMATS: Mapping[AudioFormat, AudioFormatInfo] = {
    "mp3": AudioFormatInfo("audio/mpeg", partial(_codec_encoder, "Mp3Encoder")),
    "opus": AudioFormatInfo("audio/ogg", partial(_codec_encoder, "OpusEncoder")),
    "aac": AudioFormatInfo("audio/aac", partial(_codec_encoder, "AacEncoder")),
    "flac": AudioFormatInfo("audio/flac", partial(_codec_encoder, "FlacEncoder"), wants_length=True),
    "wav": AudioFormatInfo("audio/wav", _Wav, needs_codec=False),
    "pcm": AudioFormatInfo("audio/pcm", _Pcm, needs_codec=False),
}


def new_encoder(audio_format: AudioFormat, samples: int | None = None) -> AudioEncoder:
    """An encoder for one utterance. `samples` is its length where that is known. Call it outside the event loop.

    Raises:
        UnsupportedParameter: this format needs PyAV, which is not installed.
    """
    try:
        return FORMATS[audio_format].factory(samples)
    except ModuleNotFoundError as error:
        if error.name != "av":
            raise
        raise UnsupportedParameter(
            f"response_format: {audio_format} needs the `speech` extra of this server; wav and pcm do not",
            param="response_format",
        ) from None


def encode_whole(audio_format: AudioFormat, pcm: bytes) -> bytes:
    """A file whose header contains its length, where the format has a field for it. Raises as `new_encoder`."""
    encoder = new_encoder(audio_format, len(pcm) // SAMPLE_BYTES)
    return encoder.encode(pcm) + encoder.finish()
