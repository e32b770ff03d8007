"""Processes that the kernel knows nothing of, with a real socket to each."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence

import attrs

from providers.engine_host import frames
from providers.engine_host.frames import Command, Report
from providers.engine_host.process import EngineProcess
from tests.unit.providers.engine_host.clock import now, quiet

__all__ = ["Process", "Running", "run"]


@attrs.define(eq=False)
class Process:
    """What `asyncio.create_subprocess_exec` returns: a process that ends when a signal or the test ends it."""

    pid: int = 77
    returncode: int | None = None
    deaf_to: set[int] = attrs.field(factory=set)
    """Signals that do not end it."""
    gone: bool = False
    """Whether it ended without notice: signals do not reach it."""
    dying: float = 0.0
    """Seconds from the signal that ends it to its end."""
    signals: list[tuple[float, int]] = attrs.field(factory=list)
    """The signals that it got, with their times."""
    _ended: asyncio.Event = attrs.field(factory=asyncio.Event)

    def exit(self, status: int) -> None:
        self.returncode = status
        self._ended.set()

    async def wait(self) -> int | None:
        await self._ended.wait()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.gone:
            raise ProcessLookupError(number)
        self.signals.append((round(now(), 3), number))
        if number not in self.deaf_to:
            asyncio.get_running_loop().call_later(self.dying, self.exit, -number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@attrs.define
class Running:
    """An engine's process, as the host holds it (`engine`) and from inside (`socket`)."""

    engine: EngineProcess
    process: Process
    socket: socket.socket
    command: Sequence[str]
    reports: list[Report]
    environment: Mapping[str, str]
    """Its variables; empty: those of the server."""

    async def sends(self, *parts: Report | bytes) -> None:
        """Send reports, or bytes, in one piece."""
        self.socket.send(b"".join(part if isinstance(part, bytes) else frames.encode(part) for part in parts))
        await quiet()

    def received(self) -> list[Command]:
        """The commands in the socket."""
        self.socket.setblocking(False)
        data = self.socket.recv(2**20)
        commands = []
        while data:
            end = frames.HEADER_BYTES + frames.frame_length(data[: frames.HEADER_BYTES])
            commands.append(frames.decode_command(data[frames.HEADER_BYTES : end]))
            data = data[end:]
        return commands

    def sees_the_end(self) -> bool:
        """Whether the host has closed its end of the socket."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1) == b""
        except BlockingIOError:
            return False


async def run(process: Process, reports: list[Report] | None = None, **start: object) -> Running:
    """Start an engine whose process is this one."""
    inside: list[socket.socket] = []
    arguments: list[str] = []
    environment: dict[str, str] = {}

    async def create(
        *command: str, pass_fds: Sequence[int], env: Mapping[str, str] | None, **options: object
    ) -> Process:
        assert options == {"stdin": asyncio.subprocess.DEVNULL, "start_new_session": True}
        assert command[-1:] == tuple(str(number) for number in pass_fds)
        arguments.extend(command[:-1])
        environment.update(env or {})
        inside.append(socket.socket(fileno=os.dup(pass_fds[0])))
        return process

    received: list[Report] = [] if reports is None else reports
    real, asyncio.create_subprocess_exec = asyncio.create_subprocess_exec, create
    try:
        engine = await EngineProcess.start(["run", "it"], received.append, **start)
    finally:
        asyncio.create_subprocess_exec = real
    return Running(engine, process, inside[0], arguments, received, environment)
