"""An engine with no model: speaks the frames, and misbehaves on request.

How it loads is in the spec's path (JSON: `mode`, and `starts`, a file that gets one line a start; an engine that ends
in order leaves `STARTS.ended`); how it answers is the text of the prompt. Run as `fake_engine.py FD`.
"""

import json
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4]))

from providers.chat.types import Accepted, Finished, TextDelta, Usage
from providers.engine_host import frames

link = socket.socket(fileno=int(sys.argv[1]))
stream = link.makefile("rb")
cancelled: list[str] = []


def send(report: frames.Report) -> None:
    link.sendall(frames.encode(report))


def receive() -> frames.Command | None:
    header = stream.read(frames.HEADER_BYTES)
    if len(header) < frames.HEADER_BYTES:
        return None
    return frames.decode_command(stream.read(frames.frame_length(header)))


def load() -> dict[str, str]:
    command = receive()
    if command is None:
        sys.exit(0)
    how = json.loads(command.spec.path)
    with open(how["starts"], "a+") as starts:
        starts.write(f"{os.getpid()}\n")
        starts.flush()
        starts.seek(0)
        start = len(starts.readlines())
    mode = how["mode"]
    send(frames.Loading("reading weights", 0.5))
    if mode in ("asleep", "stubborn"):
        if mode == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        send(frames.Loading("not listening"))
        while True:
            time.sleep(60)
    if mode == "slow":
        time.sleep(0.3)
    if mode == "hang":
        receive()
        sys.exit(0)
    if mode == "broken" or (mode == "broken_once" and start == 1) or (mode == "broken_later" and 1 < start <= 9):
        send(frames.LoadFailed("no such folder"))
        sys.exit(1)
    if mode == "short" or (mode == "short_twice" and start <= 2):
        send(frames.LoadFailed("no memory", permanent=False))
        sys.exit(1)
    if mode == "die" or (mode == "die_twice" and start <= 2):
        os._exit(3)
    send(frames.Ready(frames.EngineInfo(4096, "cpu", "float32", "-", 0.01)))
    return how


def events(key: str, *items: object) -> None:
    send(frames.Events([(key, item) for item in items]))


def finished(count: int) -> Finished:
    return Finished("stop", Usage(3, count), 0.1, 0.2)


def answer(key: str, prompt: str) -> None:
    order, _, rest = prompt.partition(" ")
    if order == "say":
        words = rest.split()
        events(key, Accepted(3, 1))
        for word in words:
            events(key, TextDelta(word))
        events(key, finished(len(words)))
    elif order == "many":
        events(key, Accepted(3, 0), *(TextDelta("x" * 100) for _ in range(int(rest))), finished(int(rest)))
    elif order == "twice":
        events(key, Accepted(3, 0), TextDelta("a", index=1), TextDelta("b"), finished(1))
        events(key, TextDelta("c", index=1), Finished("length", Usage(3, 2), 0.1, 0.2, 1))
    elif order == "hold":
        events(key, Accepted(3, 0), TextDelta("held"))
    elif order == "cancelled?":
        events(key, Accepted(3, 0), TextDelta(" ".join(cancelled)), finished(1))
    elif order == "refuse":
        send(frames.Failed(key, "context_length_exceeded", "too long", "messages"))
    elif order == "crash":
        events(key, Accepted(3, 0), TextDelta("last words"))
        os.kill(os.getpid(), signal.SIGKILL)
    elif order == "garbage":
        link.sendall(struct.pack("<I", 3) + b"\xff\xff\xff")
    elif order == "oversize":
        link.sendall(struct.pack("<I", frames.MAX_FRAME_BYTES + 1))
    elif order == "stop":
        send(frames.Beat("working", 1, 1, True))
        os.kill(os.getpid(), signal.SIGSTOP)
    elif order == "deaf":
        time.sleep(3600)
    else:
        raise ValueError(prompt)


how = load()
while (command := receive()) is not None:
    if isinstance(command, frames.Tokenize):
        if command.prompt.text == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        elif command.prompt.text == "refuse":
            send(frames.Failed(command.id, "invalid_request_error", "no", "prompt"))
        elif command.prompt.text != "hold":
            send(frames.Tokenized(command.id, [*command.prompt.text.encode()]))
    elif isinstance(command, frames.Detokenize):
        letters = [chr(token) for token in command.tokens]
        send(frames.Detokenized(command.id, letters if command.separately else ["".join(letters)]))
    elif isinstance(command, frames.Cancel):
        cancelled.append(command.id)
    else:
        answer(command.request.id, command.request.prompt.text)
Path(how["starts"] + ".ended").write_text("by itself")
