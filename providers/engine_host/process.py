"""One engine process and the socket to it: start, frames, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
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

__all__ = ["EngineProcess"]

_STACK_SECONDS = 0.5
"""For a hung engine to write them. It needs no lock for that, only the processor."""
_KILL_SECONDS = 10.0
"""For the kernel to end a killed process, which may have gigabytes to free."""

_SOCKET_BUFFER_BYTES = 256 * 1024
"""macOS gives a Unix socket 8 KiB, which is less than a prompt."""
_MAX_UNREAD_BYTES = 2 * MAX_FRAME_BYTES

_log = otel.get_logger(__name__)


class EngineProcess:
    """A running engine. It holds the only other end of our socket, so that the socket ends when the engine dies."""

    def __init__(self, process: asyncio.subprocess.Process, link: _Link) -> None:
        self._process = process
        self._link = link

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
                env=None if environment is None else {**os.environ, **environment},
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
        if loading and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        for push in (None, self._process.terminate, self._process.kill):
            if push is not None and self._process.returncode is None:
                _log.warning("engine did not end by itself", pid=self.pid, next=push.__name__)
                with contextlib.suppress(ProcessLookupError):
                    push()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace)
                return
        _log.error("engine outlives SIGKILL", pid=self.pid)

    async def kill_hung(self) -> None:
        """Let a process that does not answer write the stacks of its threads to its stderr, then kill it.

        No report is delivered any more.
        """
        self._link.lose("it hangs")
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(STACK_SIGNAL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _STACK_SECONDS)
        self.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _KILL_SECONDS)

    def kill(self) -> None:
        """End the process now, without waiting. Does nothing when it has ended."""
        self._link.abort()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


class _Link(asyncio.Protocol):
    """Splits the socket's bytes into reports. `lost` gets the reason as its result when no more can come."""

    def __init__(self, on_report: Callable[[Report], None]) -> None:
        self._on_report = on_report
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

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
        if self._transport is None or self.lost.done() or self._transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            return False
        self._transport.write(frame)
        return True

    def abort(self) -> None:
        self.lose("it was ended")
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
