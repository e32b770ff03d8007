"""Streamed speech on the terminal's side: file headers with the final length, and programs that play audio."""

from __future__ import annotations

import queue
import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from server.cli._output import fail, printable

__all__ = ["PCM_FORMAT", "Playback", "Player", "heard", "player", "with_length"]

PCM_FORMAT = "pcm"
_WAV_HEADER = struct.pack(
    "<4sI8sIHHIIHH4sI", b"RIFF", 0xFFFFFFFF, b"WAVEfmt ", 16, 1, 1, 24_000, 48_000, 2, 16, b"data", 0xFFFFFFFF
)
"""Header for samples whose number is not known yet."""


@attrs.frozen
class Player:
    """A program and the formats that it plays reliably."""

    command: tuple[str, ...]
    formats: tuple[str, ...]
    from_pipe: bool = True
    """True: it plays audio from a pipe while the audio arrives. False: it needs a complete file."""


_PLAYERS = (
    Player(("afplay",), ("mp3", "aac", "flac", "wav"), from_pipe=False),
    Player(("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"), ("mp3", "opus", "aac", "flac", "wav")),
    Player(("mpv", "--really-quiet", "--no-video"), ("mp3", "opus", "aac", "flac", "wav")),
    Player(("paplay",), ("flac", "wav"), from_pipe=False),
    Player(("pw-play",), ("flac", "wav"), from_pipe=False),
    Player(("aplay", "-q"), ("wav",)),
)


def player(audio_format: str) -> Player | None:
    """A program on this machine that plays the format, preferably from a pipe; None if there is none."""
    wanted = "wav" if audio_format == PCM_FORMAT else audio_format
    found = [one for one in _PLAYERS if wanted in one.formats and shutil.which(one.command[0])]
    return min(found, key=lambda one: not one.from_pipe, default=None)


class Playback:
    """Plays audio that arrives in portions; it starts with the first portion if the program reads from a pipe."""

    def __init__(self, player: Player, audio_format: str) -> None:
        self.name = player.command[0]
        self._player = player
        self._rest: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  `finish` reads it after the program has ended
        self._suffix = "wav" if audio_format == PCM_FORMAT else audio_format
        self._process: subprocess.Popen[bytes] | None = None
        # Playing takes as long as the sound lasts: it must not block the thread that receives the next portions.
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()
        if audio_format == PCM_FORMAT:
            self.add(_WAV_HEADER)

    def add(self, audio: bytes) -> None:
        self._rest.put(audio)

    def finish(self) -> str | None:
        """Wait until the program has played everything. Returns its error message, None if it succeeded."""
        self._rest.put(None)
        self._thread.join()
        if self._process is None or self._process.returncode == 0:
            return None
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it gave no reason")

    def stop(self) -> None:
        """Stop playing immediately."""
        self._rest.put(None)
        if self._process is not None:
            self._process.terminate()

    def _play(self) -> None:
        first = self._rest.get()
        if first is None:
            return
        if self._player.from_pipe:
            self._pipe(first)
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"speech.{self._suffix}")
            file.write_bytes(first + b"".join(iter(self._rest.get, None)))
            self._start(str(file)).wait()

    def _pipe(self, audio: bytes | None) -> None:
        process = self._start("-")
        assert process.stdin is not None
        with suppress(BrokenPipeError), process:  # the program ended early; `finish` returns its error
            while audio is not None:
                process.stdin.write(audio)
                process.stdin.flush()
                audio = self._rest.get()

    def _start(self, source: str) -> subprocess.Popen[bytes]:
        command = [*self._player.command, source]
        stdin = subprocess.PIPE if source == "-" else subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=self._errors)
        return self._process


@contextmanager
def heard(playback: Playback | None) -> Iterator[None]:
    """Play to its end what the block adds. A block that fails stops it.

    Raises:
        SystemExit: the program could not play it.
    """
    try:
        yield
        if playback is not None and (trouble := playback.finish()) is not None:
            fail(f"{playback.name} could not play it: {printable(trouble)}")
    finally:
        if playback is not None:
            playback.stop()


def with_length(audio_format: str, data: bytes, samples: int) -> bytes:
    """The file with its length in its header. A streamed header has none, and some programs require it."""
    if audio_format == "wav":
        return data[:4] + struct.pack("<I", len(data) - 8) + data[8:40] + struct.pack("<I", len(data) - 44) + data[44:]
    if audio_format == "flac":
        # STREAMINFO follows `fLaC` and a block header; its last 16 bytes are an MD5, the 36 bits before it the length.
        info = int.from_bytes(data[8:42], "big") | samples << 128
        return data[:8] + info.to_bytes(34, "big") + data[42:]
    return data
