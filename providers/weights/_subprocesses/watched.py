"""Run a program that ends with its starter: `python -I -S watched.py PROGRAM ARGUMENT…`. Imports nothing of ours.

Standard input is a pipe that the starter holds open: it closes when the starter closes it, and when the starter is
killed. The program and all its children are then terminated, and killed if they do not end. They lead a session of
their own, so that Ctrl-C in the terminal reaches only the starter, which ends them in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

STOP_SECONDS = 5.0
"""Time that the program has to end before it is killed."""


def main(command: Sequence[str]) -> int:
    """Returns the exit status of the program."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: _signal(process, signal.SIGTERM))
    threading.Thread(target=_end_at_eof, args=(process,), daemon=True).start()
    status = process.wait()
    _signal(process, signal.SIGKILL)  # children that it left
    return status if status >= 0 else 128 - status


def _end_at_eof(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1):
        pass
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], signum: int) -> None:
    """Signal the program and its children, which may all have ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
