"""An engine with no voice: answers the words of a text with pieces, and misbehaves on request.

Run as `fake_engine.py FD`. The spec's path is a file that gets a line for every request and cancellation.
"""

import os
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4]))

import msgspec

from providers.engine_host import frames
from providers.speech.types import PhonemeSpan, SpeechAccepted, SpeechEvent, SpeechFinished, SpeechPiece, VoiceInfo

VOICES = [
    VoiceInfo("am_first", "en-US", "male", "First"),
    VoiceInfo("af_heart", "en-US", "female", "Heart"),
    VoiceInfo("jf_alpha", "ja-JP", "female", "Alpha", spoken=False),
]
SAMPLES = 600

link = socket.socket(fileno=int(sys.argv[1]))
stream = link.makefile("rb")


def receive() -> frames.Command | None:
    header = stream.read(frames.HEADER_BYTES)
    if len(header) < frames.HEADER_BYTES:
        return None
    return frames.decode_command(stream.read(frames.frame_length(header)))


def send(key: str, *events: SpeechEvent) -> None:
    link.sendall(frames.encode(frames.Events([(key, event) for event in events])))


def answer(key: str, text: str) -> None:
    words = text.split()
    send(key, SpeechAccepted(len(words), len(text)))
    for index, word in enumerate(words):
        if word == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "hold":
            return
        span = PhonemeSpan("", index * SAMPLES, (index + 1) * SAMPLES)
        send(key, SpeechPiece(word, bytes(2 * SAMPLES), [span], [], 0.01))
    send(key, SpeechFinished(len(words) * SAMPLES, 0.1))


load = receive()
assert isinstance(load, frames.Load)
voices = [] if load.spec.warmup else msgspec.to_builtins(VOICES)
info = frames.EngineInfo(None, "cpu", "float32", "-", 0.01, {"voices": voices})
link.sendall(frames.encode(frames.Ready(info)))
while (command := receive()) is not None:
    with open(load.spec.path, "a") as told:
        if isinstance(command, frames.Cancel):
            told.write("cancelled\n")
        elif isinstance(command, frames.Generate):
            told.write(f"{command.request.voices}\n")
    if isinstance(command, frames.Generate):
        answer(command.request.id, command.request.text)
