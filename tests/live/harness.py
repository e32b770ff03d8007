"""A real server process: the installed command, its log, its descendant processes, its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import psutil
import pytest

from server.settings.options import OPTIONS
from tests.live.divided_models import for_ranks

COMMAND = Path(sys.executable).with_name("mlx-openai-server")
READY_SECONDS = 120.0
"""Seconds for a cold start on a busy machine; a warm start takes a few."""
STOP_SECONDS = 30.0
READY = re.compile(r'ready at (http://\S+)|"url": ?"(http://[^"]+)"')
LISTENING = re.compile(r"Listening on (http://[^\s;]+)()")
"""The server answers, and models may still load. Only the console log contains this line."""
_STARTED: list[LiveServer] = []


def running_servers() -> list[LiveServer]:
    """The servers that this test process started and that still run."""
    _STARTED[:] = [each for each in _STARTED if each.process.poll() is None]
    return list(_STARTED)


class Log:
    """The server's output, collected by a thread."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reading = threading.Event()
        self._reading.set()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._reading.wait()
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @contextmanager
    def unread(self) -> Iterator[None]:
        """Do not read the output in the block: the pipe fills."""
        self._reading.clear()
        try:
            yield
        finally:
            self._reading.set()

    @property
    def text(self) -> str:
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str | re.Pattern[str], timeout: float = 60.0) -> re.Match[str]:
        """Wait until a line matches, printed before or after the call. Returns the match; fails with the whole log."""

        def found() -> re.Match[str] | None:
            return next((match for line in self._lines if (match := re.search(pattern, line))), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout)
            if match := found():
                return match
        pytest.fail(f"no line like {pattern!r} in {timeout} s:\n{self.text}")

    def wait_for_end(self, timeout: float) -> bool:
        """Wait until every process that could write to the log has closed it. Returns whether all did."""
        self._thread.join(timeout)
        return not self._thread.is_alive()


@attrs.frozen(kw_only=True)
class LiveServer:
    """A running `mlx-openai-server launch`."""

    process: subprocess.Popen[str]
    log: Log
    url: str
    """Address without a path: `http://127.0.0.1:PORT`."""

    @property
    def base_url(self) -> str:
        """`base_url` for an OpenAI client."""
        return f"{self.url}/v1"

    def descendants(self) -> list[psutil.Process]:
        """All processes below the main process: granian's worker, the engines and their children."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def worker(self) -> psutil.Process:
        """The process that serves HTTP."""
        return next(process for process in self.descendants() if "spawn_main" in " ".join(process.cmdline()))

    def engine(self) -> psutil.Process:
        """Process of the only engine. If it has several ranks, it is their launcher."""
        found = [process for process in self.descendants() if "providers.engines" in process.cmdline()]
        pids = {process.pid for process in found}
        (engine,) = (process for process in found if process.ppid() not in pids)
        return engine

    def stop(self) -> int:
        """Send SIGTERM. Returns the exit status; fails if the server does not end, or leaves a process behind."""
        family = self.descendants() if self.process.poll() is None else []
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill(family)
            pytest.fail(f"the server did not end in {STOP_SECONDS} s after SIGTERM:\n{self.log.text}")
        _, orphans = psutil.wait_procs(family, timeout=5)
        self.kill(orphans)
        assert not orphans, f"processes outlived the server: {orphans}\n{self.log.text}"
        return code

    def kill(self, family: list[psutil.Process]) -> None:
        """Kill the server and these processes. Never fails."""
        for process in [*family, self.process]:
            try:
                process.kill()
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
        self.process.wait(STOP_SECONDS)


def assert_gone(family: list[psutil.Process], within: float = STOP_SECONDS) -> None:
    """Fail unless all of these processes end. Kills those that do not."""
    _, alive = psutil.wait_procs(family, timeout=within)
    for process in alive:
        process.kill()
    assert not alive, f"still running: {alive}"


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without variables that configure the server or its telemetry."""
    ours = {option.env for option in OPTIONS}
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("OTEL_")}
    return {**kept, "NO_COLOR": "1", **extra}


def start(
    *arguments: str,
    env: dict[str, str] | None = None,
    ready: float = READY_SECONDS,
    until: re.Pattern[str] = READY,
    terminal: bool = True,
) -> LiveServer:
    """Launch on a free port. Returns when the server is ready (`until=LISTENING`: when it listens), by its log.

    `terminal` False: without the terminal of the tests, as a service.
    """
    process = subprocess.Popen(
        [str(COMMAND), "launch", "--port", "0", *for_ranks(arguments), *arguments],
        env=clean_environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=not terminal,
    )
    log = Log(process)
    try:
        match = log.wait_for(until, ready)
    except BaseException:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        LiveServer(process=process, log=log, url="").kill(family)
        raise
    running = LiveServer(process=process, log=log, url=match[1] or match[2])
    _STARTED.append(running)
    return running
