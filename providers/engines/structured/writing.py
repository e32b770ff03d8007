"""The processes that find the forms in which grammars compile: bounded in number, time and memory.

`python -m providers.engines.structured FD` is such a process. It gets a `Setup`, and then a `Task` per constraint.
llguidance cannot be interrupted, so that a process which exceeds its time ends, and its compilation with it.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import msgspec

from providers.engines.structured.token_table import TokenTable
from providers.engines.structured.writer import WrittenGrammar
from providers.errors import InvalidRequest, ServiceError

__all__ = ["PROCESSES", "Refused", "Setup", "Task", "WritingProcess", "WritingProcesses", "Written", "receive", "send"]

PROCESSES = 2
"""Grammars of one model that compile at a time."""
_START_SECONDS = 120.0
_LATE_SECONDS = 1.0
"""A process ends itself when its time is over. One that does not is killed this long after."""
_COMMAND = (sys.executable, "-P", "-m", "providers.engines.structured")
_HEADER = struct.Struct("<I")


class Setup(msgspec.Struct, frozen=True):
    """The first frame. An empty frame answers it."""

    table: TokenTable
    search_seconds: float
    """Of processor time, for the faults of one schema."""


class Task(msgspec.Struct, frozen=True):
    """A constraint to write."""

    constraint: msgspec.Raw
    seconds: float


class Written(msgspec.Struct, frozen=True, tag="written"):
    """The answer: the constraint's text has compiled."""

    grammar: WrittenGrammar


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The answer: the fields of a `ServiceError`."""

    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None


def send(link: socket.socket, frame: bytes) -> None:
    """Send a frame. Raises `OSError`, and `TimeoutError` after the socket's timeout."""
    link.sendall(_HEADER.pack(len(frame)) + frame)


def receive(link: socket.socket, until: float | None = None) -> bytes:
    """The next frame.

    Raises:
        TimeoutError: there is none by the time `until`, on `time.monotonic`'s clock.
        EOFError: the other end is closed.
    """
    return _bytes(link, _HEADER.unpack(_bytes(link, _HEADER.size, until))[0], until)


def _bytes(link: socket.socket, count: int, until: float | None) -> bytes:
    found = bytearray()
    while len(found) < count:
        if until is not None:
            link.settimeout(max(0.001, until - time.monotonic()))
        part = link.recv(min(count - len(found), 1 << 20))
        if not part:
            raise EOFError
        found += part
    return bytes(found)


class WritingProcess:
    """One process. Only one thread uses it at a time."""

    def __init__(self, setup: bytes) -> None:
        self._link, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                (*_COMMAND, str(number)), pass_fds=(number,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        self._link.settimeout(_START_SECONDS)
        try:
            send(self._link, setup)
            receive(self._link, time.monotonic() + _START_SECONDS)
        except (OSError, EOFError) as error:
            self.close()
            raise RuntimeError("a process that compiles grammars did not start") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def write(self, constraint: bytes, seconds: float, param: str, limit: float) -> WrittenGrammar:
        """`GrammarWriter.write` within these seconds. `constraint`: as JSON. `limit`: the request's, for messages.

        Raises:
            ServiceError: what `GrammarWriter.write` raises.
            InvalidRequest: it takes longer, or too much memory. The process has ended.
        """
        if seconds <= 0:
            raise _too_slow(limit, param)
        try:
            send(self._link, msgspec.json.encode(Task(msgspec.Raw(constraint), seconds)))
            frame = receive(self._link, time.monotonic() + seconds + _LATE_SECONDS)
        except TimeoutError:
            self.close()
            raise _too_slow(limit, param) from None
        except (OSError, EOFError):
            if self.close() == -signal.SIGALRM:
                raise _too_slow(limit, param) from None
            raise InvalidRequest("the grammar is too complex to compile", param=param) from None
        answer = msgspec.json.decode(frame, type=Written | Refused)
        if isinstance(answer, Written):
            return answer.grammar
        raise ServiceError.from_fields(answer.code, answer.message, answer.param, answer.retry_after)

    def close(self) -> int:
        """End the process. Returns its status."""
        self._link.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(_LATE_SECONDS)
        self._process.kill()
        return self._process.wait()


class WritingProcesses:
    """The processes of one model: at most `PROCESSES`, one of which is kept."""

    def __init__(self, table: TokenTable, search_seconds: float) -> None:
        self._setup = msgspec.json.encode(Setup(table, search_seconds))
        self._places = threading.BoundedSemaphore(PROCESSES)
        self._idle: list[WritingProcess] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[WritingProcess]:
        """A process that no other thread uses. Waits while as many are used as may be."""
        with self._places:
            process = self._take()
            try:
                yield process
            finally:
                self._return(process)

    def _take(self) -> WritingProcess:
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if process is not None and process.lives:
            return process
        return WritingProcess(self._setup)

    def _return(self, process: WritingProcess) -> None:
        with self._lock:
            keeps = process.lives and not self._idle
            if keeps:
                self._idle.append(process)
        if not keeps:
            process.close()


def _too_slow(seconds: float, param: str) -> InvalidRequest:
    return InvalidRequest(f"the grammar takes longer than {seconds:g} seconds to compile", param=param)
