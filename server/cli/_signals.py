"""Signals that end a command which has something to tidy up: programs that it runs, and half a folder."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

__all__ = ["first_signal_ends"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def first_signal_ends() -> Iterator[None]:
    """Let the first signal leave the block as an exception, so that all its cleanups run, and ignore further ones.

    Python would end immediately with SIGTERM and SIGHUP, and a second Ctrl-C would interrupt the cleanups. Signals that
    were ignored before (`nohup`) stay so.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        SystemExit: another signal; the status is 128 and its number.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: handler for each in _SIGNALS if (handler := signal.getsignal(each)) is not signal.SIG_IGN}

    def end(signum: int, _: FrameType | None) -> NoReturn:
        for each in before:
            # Not SIG_IGN, of which Python complains when a signal has just arrived.
            signal.signal(each, lambda *_: None)
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signum)

    for each in before:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
