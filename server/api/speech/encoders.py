"""Encoders of mono 16-bit PCM at `SAMPLE_RATE`, each of which writes a file from front to back.

No file knows its length when its first bytes leave, so nothing may be patched later, and no tag can tell a decoder how
much to cut off: mp3 and aac therefore leave out the frames that hold nothing but their encoder's delay. What decodes
starts with the first sample and ends within a frame after the last.
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
"""What OpenAI writes for the sizes of a wav file whose end is not there yet; decoders read to the end of the file."""


class AudioEncoder(Protocol):
    """Makes one file. Belongs to one utterance, and is used by one thread at a time."""

    def encode(self, pcm: bytes) -> bytes:
        """The next bytes of the file; may be none yet."""

    def finish(self) -> bytes:
        """The last bytes."""


EncoderFactory = Callable[[int | None], AudioEncoder]
"""Given the number of samples to come, where it is known."""


@attrs.frozen
class AudioFormatInfo:
    """How a format is announced and written."""

    media_type: str
    factory: EncoderFactory
    needs_codec: bool = True
    """Whether it is PyAV that encodes."""
    wants_length: bool = False
    """Whether common decoders (libsndfile) cannot read it without its length in the header, though it need not be."""


class _Pcm:
    """The samples as they are."""

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
    # Here and not above: PyAV is an extra, and takes a while to import.
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
    """An encoder for one utterance, of so many samples where that is known. Call it off the event loop.

    Raises:
        UnsupportedParameter: PyAV is not installed, and this format needs it.
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
    """A file whose header tells its length, where the format has a place for it. Raises as `new_encoder`."""
    encoder = new_encoder(audio_format, len(pcm) // SAMPLE_BYTES)
    return encoder.encode(pcm) + encoder.finish()
