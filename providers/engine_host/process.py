"""One engine process and the socket to it: start, frames, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec

import otel
from providers.engine_host.frames import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    STACK_SIGNAL,
    Command,
    Report,
    decode_report,
    encode,
    frame_length,
)
from providers.spec import ModelSpec

__all__ = ["EngineProcess", "Start", "ending_of", "start_of", "starting"]

_LAUNCHER: tuple[str, ...] = (sys.executable, "-P", "-m", "providers.engines.group.launch")

_STACK_SECONDS = 0.5
"""For a hung engine to write them. It needs no lock for that, only the processor."""
_KILL_SECONDS = 10.0
"""For the kernel to end a killed process, which may have gigabytes to free."""

_SOCKET_BUFFER_BYTES = 256 * 1024
"""macOS gives a Unix socket 8 KiB, which is less than a prompt."""
_MAX_UNREAD_BYTES = 2 * MAX_FRAME_BYTES

_log = otel.get_logger(__name__)


Start = Callable[[Sequence[str], Callable[[Report], None]], Awaitable["EngineProcess"]]


def starting(
    spec: ModelSpec, command: Sequence[str], start: Start | None = None
) -> Callable[[Callable[[Report], None]], Awaitable[EngineProcess]]:
    """What starts the engine of a model by this command: in one process, or on several ranks."""
    if spec.ranks > 1:
        command = (*_LAUNCHER, str(spec.ranks), spec.hostfile or "", *command)
    return partial(start or start_of(spec), command)


def start_of(spec: ModelSpec, environment: Mapping[str, str] | None = None) -> Start:
    """What starts the process of an engine, or its processes, with these variables besides."""
    return partial(EngineProcess.start_ranks if spec.ranks > 1 else EngineProcess.start, environment=environment)


def ending_of(returncode: int | None) -> str:
    """How a process ended, in words. `returncode`: as of `subprocess`; None: it has not ended."""
    if returncode is None:
        return "its process lives on"
    return f"killed by signal {-returncode}" if returncode < 0 else f"exit status {returncode}"


def _environment(more: Mapping[str, str] | None) -> Mapping[str, str] | None:
    return None if more is None else {**os.environ, **more}


class EngineProcess:
    """A running engine. It holds the only other end of our socket, so that the socket ends when the engine dies."""

    def __init__(
        self, process: asyncio.subprocess.Process, link: _Link, signal: Callable[[int], None] | None = None
    ) -> None:
        """`signal` sends one to the engine, which may be more than the process; None: it is the process."""
        self._process = process
        self._link = link
        self._send_signal = signal or process.send_signal

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        on_report: Callable[[Report], None],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> EngineProcess:
        """Run `command` with the number of its socket as last argument. `on_report` gets every report, in order.

        `environment`: variables beside the server's own.

        The process leads a session of its own, so that Ctrl-C in the terminal reaches only the server, which then ends
        its engines in order.

        Raises:
            OSError: the process cannot be started.
        """
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        try:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                *command,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=_environment(environment),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            _, link = await loop.create_unix_connection(lambda: _Link(on_report), sock=ours)
        except BaseException:
            ours.close()
            process.kill()
            raise
        return cls(process, link)

    @classmethod
    async def start_ranks(
        cls,
        command: Sequence[str],
        on_report: Callable[[Report], None],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> EngineProcess:
        """As `start`, for a command that starts several processes, one of which connects to the path in its last
        argument. What is sent before that waits for it.

        Raises:
            OSError: the process cannot be started.
        """
        link = _Link(on_report)
        path = str(Path(tempfile.mkdtemp(prefix="mlx-ranks-")) / "rank0")
        try:
            link.server = await asyncio.get_running_loop().create_unix_server(lambda: link, path)
            process = await asyncio.create_subprocess_exec(
                *command,
                path,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                env=_environment(environment),
            )
        except BaseException:
            link.abort()
            shutil.rmtree(Path(path).parent, ignore_errors=True)
            raise
        # The ranks are in the process group that this process leads.
        return cls(process, link, lambda number: os.killpg(process.pid, number))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def send(self, message: Command) -> bool:
        """Send a command. False when the engine accepts none: its socket ended, or it stopped reading long ago.

        Raises:
            ValueError, OverflowError, TypeError: the message cannot be encoded (a lone surrogate, an integer over 64
                bits), or its frame is over `MAX_FRAME_BYTES`.
        """
        return self._link.send(encode(message))

    async def wait_lost(self) -> str:
        """Return when the engine is lost, after the delivery of its last report. Returns the reason."""
        exited = asyncio.ensure_future(self._process.wait())
        either: set[asyncio.Future[Any]] = {exited, self._link.lost}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            # Its last reports may still be in the socket.
            await asyncio.wait({self._link.lost}, timeout=1.0)
        finally:
            exited.cancel()
        return self._link.lost.result() if self._link.lost.done() else "its process ended"

    async def end(self, grace: float, *, loading: bool = False) -> None:
        """Close the socket, whereupon an engine ends by itself. After `grace` seconds terminate it, then kill it.

        An engine that is `loading` may be inside native code that sees no socket, and has nothing to lose: it is
        terminated immediately.
        """
        self._link.abort()
        if loading:
            self._signal(signal.SIGTERM)
        for push, number in ((None, None), ("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)):
            if number is not None and self._process.returncode is None:
                _log.warning("engine did not end by itself", pid=self.pid, next=push)
                self._signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace)
                return
        _log.error("engine outlives SIGKILL", pid=self.pid)

    async def kill_hung(self) -> None:
        """Let a process that does not answer write the stacks of its threads to its stderr, then kill it.

        No report is delivered any more.
        """
        self._link.lose("it hangs")
        self._signal(STACK_SIGNAL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _STACK_SECONDS)
        self.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _KILL_SECONDS)

    def kill(self) -> None:
        """End the process now, without waiting. Does nothing when it has ended."""
        self._link.abort()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal. Does nothing when the process has ended."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: a group of ended processes
                self._send_signal(number)


class _Link(asyncio.Protocol):
    """Splits the socket's bytes into reports. `lost` gets the reason as its result when no more can come."""

    def __init__(self, on_report: Callable[[Report], None]) -> None:
        self._on_report = on_report
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._unsent: list[bytes] = []
        self.server: asyncio.Server | None = None
        """Waits for the other end; None where there is one."""
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._stop_listening()
        if self.lost.done():
            self._transport.abort()
            return
        for frame in self._unsent:
            self._transport.write(frame)
        self._unsent.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose("its socket ended" if exc is None else f"its socket broke ({exc})")

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        while end - start >= HEADER_BYTES and not self.lost.done():
            body = start + HEADER_BYTES
            length = frame_length(buffer[start:body])
            if length > MAX_FRAME_BYTES:
                self._break_off(f"it announced a frame of {length} bytes")
                return
            if end - body < length:
                break
            start = body + length
            try:
                report = decode_report(bytes(buffer[body:start]))
            except msgspec.DecodeError as error:
                self._break_off(f"it sent a frame that is not a report ({error})")
                return
            self._on_report(report)
        del buffer[:start]

    def send(self, frame: bytes) -> bool:
        if self.lost.done():
            return False
        if self._transport is None:
            self._unsent.append(frame)
            return True
        if self._transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            return False
        self._transport.write(frame)
        return True

    def _stop_listening(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            folder = Path(server.sockets[0].getsockname()).parent
            server.close()
            shutil.rmtree(folder, ignore_errors=True)

    def abort(self) -> None:
        self.lose("it was ended")
        self._stop_listening()
        if self._transport is not None:
            self._transport.abort()

    def _break_off(self, reason: str) -> None:
        self.lose(reason)
        self._buffer.clear()
        self.abort()

    def lose(self, reason: str) -> None:
        """Deliver no further report."""
        if not self.lost.done():
            self.lost.set_result(reason)
