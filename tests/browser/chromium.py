"""Headless Chromium: find or install it, read a page's document, or control a page over a pipe (DevTools protocol)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

__all__ = ["INSTALL_SECONDS", "Page", "browsing", "find_chromium", "shown"]

INSTALL_SECONDS = 240.0
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
_AT_THREE_AND_FOUR = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for place, end in zip((3, 4), ends):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Program that moves the pipes' ends to the descriptors that the browser uses, then becomes the browser."""


def find_chromium() -> str | None:
    """Path of this machine's browser, or of one that its package manager installs, where that is allowed."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI") and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium"
        try:
            subprocess.run(["sh", "-c", install], timeout=INSTALL_SECONDS, capture_output=True, check=True)
        except (subprocess.SubprocessError, OSError):
            return None
        return shutil.which("chromium")
    return None


def shown(browser: str, url: str, profile: Path) -> str:
    """The page's document after a few seconds of its virtual time."""
    budget = ("--virtual-time-budget=4000", "--dump-dom")
    command = [browser, *_OPTIONS, f"--user-data-dir={profile}", *budget, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout


class Page:
    """A tab that evaluates expressions and awaits promises."""

    def __init__(self, write: Any, read: Any) -> None:
        self.events: list[dict[str, Any]] = []
        """What the browser reported of itself, of the domains that were enabled."""
        self._write, self._read = write, read
        self._numbers = count(1)
        self._session: str | None = None
        self._rest = b""

    def open(self, url: str) -> None:
        target = self.command("Target.createTarget", url=url)["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def evaluate(self, expression: str) -> Any:
        """Evaluate the expression. Raises AssertionError if it throws."""
        found = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command of the protocol. Raises AssertionError if the browser refuses it."""
        number = next(self._numbers)
        session = {} if self._session is None else {"sessionId": self._session}
        self._write.write(json.dumps({"id": number, "method": method, "params": params, **session}).encode() + b"\0")
        self._write.flush()
        while True:
            told = json.loads(self._message())
            if told.get("id") == number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result
            self.events.append(told)

    def _message(self) -> bytes:
        parts = [self._rest]
        while b"\0" not in parts[-1]:
            parts.append(self._read.read1(1 << 16))
            assert parts[-1], "the browser ended"
        message, self._rest = b"".join(parts).split(b"\0", 1)
        return message


@contextmanager
def browsing(browser: str, profile: Path, *more: str) -> Generator[Page]:
    """Start a browser for the block, with `more` options.

    It reads commands from descriptor 3 and writes answers to descriptor 4.
    """
    to_browser, our_words = os.pipe()
    its_words, from_browser = os.pipe()

    ends = (str(to_browser), str(from_browser))
    options = (*_OPTIONS, *more, "--remote-debugging-pipe", f"--user-data-dir={profile}")
    command = [sys.executable, "-c", _AT_THREE_AND_FOUR, *ends, browser, *options]
    with subprocess.Popen(
        command, pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(to_browser)
        os.close(from_browser)
        try:
            with os.fdopen(our_words, "wb") as write, os.fdopen(its_words, "rb") as read:
                yield Page(write, read)
        finally:
            process.terminate()
