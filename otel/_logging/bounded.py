"""Log lines that never wait for their reader: a bounded queue and a thread per destination.

A write to a pipe that no process reads blocks for ever. The thread that logs may be the server's event loop, so the
write happens elsewhere, and lines that find the queue full are dropped and counted.
"""

from __future__ import annotations

import io
import logging
import threading
from contextlib import nullcontext
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import TextIO

__all__ = ["BoundedHandler", "without_buffer"]

MAX_LINES = 4_096
"""Lines that may wait for the destination."""
PATIENCE = 1.0
"""Seconds that the end of the process, or `flush`, waits for the destination."""


class BoundedHandler(QueueHandler):
    """Formats a line where it was logged, and has a thread write it.

    After the queue was full, lines are dropped until the destination has taken every line that waits. A warning with
    their number then stands where they are missing.
    """

    def __init__(self, destination: logging.Handler, formatter: logging.Formatter) -> None:
        """Only this handler uses `destination`."""
        self._lines: SimpleQueue[logging.LogRecord | threading.Event | None] = SimpleQueue()
        super().__init__(self._lines)
        self._destination = destination
        self._dropped = self._reported = 0
        self.setFormatter(formatter)
        self._thread: threading.Thread | None = None

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """A record whose message is the formatted line.

        As `QueueHandler` makes it, but without `copy.copy`, which takes a tenth of the time of a line.
        """
        text = self.format(record)
        line = logging.LogRecord.__new__(logging.LogRecord)
        line.__dict__.update(record.__dict__)
        line.msg = line.message = text
        line.args = line.exc_info = line.exc_text = line.stack_info = None
        return line

    def enqueue(self, record: logging.LogRecord) -> None:
        # Under the handler's lock.
        waiting = self._lines.qsize()
        if waiting >= MAX_LINES or (waiting and self._dropped != self._reported):
            self._dropped += 1
            return
        self._lines.put(record)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="log", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Wait until the destination has every line logged so far, for at most `PATIENCE` seconds."""
        if self._thread is not None:
            reached = threading.Event()
            self._lines.put(reached)
            reached.wait(PATIENCE)

    def close(self) -> None:
        """Write the lines that wait, within `PATIENCE` seconds. `logging.config` closes handlers that are still used:
        a later line starts a thread again.
        """
        with self.lock or nullcontext():
            thread, self._thread = self._thread, None
        if thread is not None:
            self._lines.put(None)
            thread.join(PATIENCE)
        self._destination.close()
        super().close()

    def _write(self) -> None:
        # `emit`, not `handle`: the end of the process takes the destination's lock, which a blocked write would hold.
        while (item := self._lines.get()) is not None:
            if not isinstance(item, threading.Event):
                self._destination.emit(item)
            if self._lines.empty() and (dropped := self._dropped) != self._reported:
                self._destination.emit(self._warning(dropped - self._reported))
                self._reported = dropped
            if isinstance(item, threading.Event):
                item.set()

    def _warning(self, count: int) -> logging.LogRecord:
        text = "%d log lines were dropped: their reader was too slow"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (count,), None)
        prepared: logging.LogRecord = self.prepare(record)
        return prepared


def without_buffer(stream: TextIO) -> TextIO:
    """The stream without its buffer, if it has a descriptor.

    A thread that waits in a write of a buffered stream holds the buffer's lock, and the interpreter cannot end.
    """
    try:
        raw = io.FileIO(stream.fileno(), "w", closefd=False)
    except OSError:
        return stream
    return io.TextIOWrapper(  # over a raw file, as the interpreter's own unbuffered streams are
        raw, encoding=stream.encoding, errors="backslashreplace", write_through=True
    )
