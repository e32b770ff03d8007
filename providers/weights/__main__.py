"""Fetch one model and report it line by line: `python -m providers.weights NAME`.

Each line on standard output is a JSON object: `{"status", "total", "completed", "digest"}` while it goes on, then
`{"size"}` or `{"error"}` with the class of the error and its message. SIGTERM ends it; what is fetched is kept.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from typing import Any

from providers.weights.errors import WeightsError
from providers.weights.progress import Stage
from providers.weights.resolve import EMBEDDED_PREFIX, fetch, folder_size

INTERVAL = 0.2
"""The shortest time in seconds between two reports of one stage."""


class _Reports:
    """Writes progress, and leaves out what comes too soon after the line before."""

    def __init__(self) -> None:
        self._stage = ""
        self._due = 0.0

    def __call__(self, stage: str, fraction: float | None) -> None:
        now = time.monotonic()
        if stage == self._stage and fraction != 1.0 and now < self._due:
            return
        self._stage, self._due = stage, now + INTERVAL
        line: dict[str, Any] = {"status": str(stage)}
        if isinstance(stage, Stage) and stage.total is not None:
            line |= {"total": stage.total, "completed": round((fraction or 0.0) * stage.total)}
            if stage.digest is not None:
                line["digest"] = stage.digest
        _write(line)


def _write(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def main(name: str) -> int:
    """Returns the exit status."""
    if name.startswith(EMBEDDED_PREFIX):
        # The folder in which an embedded model is unpacked is removed. Downloads from the hub would keep an exit
        # waiting for their threads, and leave nothing to remove.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        folder = fetch(name, _Reports())
        _write({"size": folder_size(folder)})
    except WeightsError as error:
        _write({"error": {"kind": type(error).__name__, "message": str(error)}})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
