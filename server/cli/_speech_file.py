"""What a terminal does with speech that has come: headers that know the length now, and programs that play it."""

from __future__ import annotations

import shutil
import struct

__all__ = ["PCM_FORMAT", "player", "wav", "with_length"]

PCM_FORMAT = "pcm"

_PLAYERS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("afplay",), ("mp3", "aac", "flac", "wav")),
    (("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"), ("mp3", "opus", "aac", "flac", "wav")),
    (("mpv", "--really-quiet", "--no-video"), ("mp3", "opus", "aac", "flac", "wav")),
    (("paplay",), ("flac", "wav")),
    (("pw-play",), ("flac", "wav")),
    (("aplay", "-q"), ("wav",)),
)
"""Programs, and the formats that each can be trusted with."""


def player(audio_format: str) -> tuple[str, ...] | None:
    """The command that plays a file of this format, on this machine."""
    return next((command for command, able in _PLAYERS if audio_format in able and shutil.which(command[0])), None)


def with_length(audio_format: str, data: bytes, samples: int) -> bytes:
    """The file with its length in its header, which a stream could not have; some programs want it there."""
    if audio_format == "wav":
        return data[:4] + struct.pack("<I", len(data) - 8) + data[8:40] + struct.pack("<I", len(data) - 44) + data[44:]
    if audio_format == "flac":
        # STREAMINFO follows `fLaC` and a block header; its last 16 bytes are an MD5, the 36 bits before it the length.
        info = int.from_bytes(data[8:42], "big") | samples << 128
        return data[:8] + info.to_bytes(34, "big") + data[42:]
    return data


def wav(pcm: bytes) -> bytes:
    """Bare samples as a file that can be played."""
    import io
    import wave

    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(24_000)
        writer.writeframes(pcm)
    return file.getvalue()
