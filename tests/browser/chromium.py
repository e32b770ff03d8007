"""Headless Chromium: find or install it, read a page's document, or control a page over a pipe (DevTools protocol)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.debian import INSTALL_SECONDS, find_program

__all__ = [
    "AUDIBLE",
    "INSTALL_SECONDS",
    "Browser",
    "Page",
    "browsing",
    "end_shared",
    "find_chromium",
    "shared",
]

_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
AUDIBLE = "--autoplay-policy=no-user-gesture-required"
"""Option: pages play sound that no click began."""
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
    return find_program("chromium")


class Browser:
    """A running browser, whose pages know nothing of each other."""

    def __init__(self, write: Any, read: Any) -> None:
        self._write, self._read = write, read
        self._numbers = count(1)
        self._rest = b""

    @contextmanager
    def page(self) -> Generator[Page]:
        """A page with storage of its own, for the block."""
        context = self.command("Target.createBrowserContext")["browserContextId"]
        page = Page(self, context)
        try:
            yield page
        finally:
            self.command("Target.disposeBrowserContext", browserContextId=context)

    def command(
        self, method: str, session: str | None = None, events: list[dict[str, Any]] | None = None, **params: Any
    ) -> dict[str, Any]:
        """Send a command of the protocol. Raises AssertionError if the browser refuses it.

        `events` gets what the browser reports of the session before it answers.
        """
        number = next(self._numbers)
        of_session = {} if session is None else {"sessionId": session}
        command = {"id": number, "method": method, "params": params, **of_session}
        self._write.write(json.dumps(command).encode() + b"\0")
        self._write.flush()
        while True:
            told = json.loads(self._message())
            if told.get("id") == number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result
            if events is not None and told.get("sessionId") == session:
                events.append(told)

    def _message(self) -> bytes:
        parts = [self._rest]
        while b"\0" not in parts[-1]:
            parts.append(self._read.read1(1 << 16))
            assert parts[-1], "the browser ended"
        message, self._rest = b"".join(parts).split(b"\0", 1)
        return message


class Page:
    """A tab that evaluates expressions and awaits promises."""

    def __init__(self, browser: Browser, context: str) -> None:
        self.events: list[dict[str, Any]] = []
        """What the browser reported of the tab, of the domains that were enabled."""
        self._browser = browser
        self._context = context
        self._session: str | None = None

    def open(self, url: str) -> None:
        target = self.create(url)
        attached = self._browser.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def create(self, url: str) -> str:
        """Open another tab in front of this one. Returns its id."""
        made = self._browser.command("Target.createTarget", url=url, browserContextId=self._context)
        target: str = made["targetId"]
        return target

    def close(self, target: str) -> None:
        self._browser.command("Target.closeTarget", targetId=target)

    def evaluate(self, expression: str) -> Any:
        """Evaluate the expression. Raises AssertionError if it throws."""
        found = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command to the tab. Raises AssertionError if the browser refuses it."""
        return self._browser.command(method, self._session, self.events, **params)


@contextmanager
def browsing(browser: str, profile: Path, *more: str) -> Generator[Browser]:
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
                yield Browser(write, read)
        finally:
            process.terminate()


_shared: list[Browser] = []
_until_the_end = ExitStack()


def shared(browser: str) -> Browser:
    """The browser of this test process, which may play sound. Starts it, the first time."""
    if not _shared:
        profile = _until_the_end.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        _shared.append(_until_the_end.enter_context(browsing(browser, Path(profile), AUDIBLE)))
    return _shared[0]


def end_shared() -> None:
    """End the browser of this test process, if there is one."""
    _shared.clear()
    _until_the_end.close()
