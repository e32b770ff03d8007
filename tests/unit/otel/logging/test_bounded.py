"""The bounded queue of log lines: a reader that does not read, and one that is slow."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from otel._logging import bounded
from otel._logging.bounded import BoundedHandler

PIPE = 65_536


class Reader(logging.Handler):
    """A destination that takes lines only while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.open = threading.Event()
        self.asked = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.asked.set()
        assert self.open.wait(10)
        self.lines.append(record.getMessage())


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def logger(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    monkeypatch.setattr(bounded, "MAX_LINES", 3)
    handler = BoundedHandler(reader, logging.Formatter("%(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    yield logger
    reader.open.set()
    handler.close()


def flush(logger: logging.Logger) -> None:
    for handler in logger.handlers:
        handler.flush()


def test_lines_keep_their_order(logger: logging.Logger, reader: Reader) -> None:
    reader.open.set()
    for number in range(3):
        logger.info("%s", number)
    flush(logger)
    assert reader.lines == ["0", "1", "2"]


def test_lines_without_room_are_dropped_and_counted_where_they_are_missing(
    logger: logging.Logger, reader: Reader
) -> None:
    logger.info("first")
    assert reader.asked.wait(5)  # the thread waits with it; three more have room
    for number in range(10):
        logger.info("%s", number)
    reader.open.set()
    flush(logger)
    logger.info("later")
    flush(logger)

    assert reader.lines == [
        "first", "0", "1", "2", "7 log lines were dropped: their reader was too slow", "later",
    ]  # fmt: skip


def test_lines_are_not_counted_twice(logger: logging.Logger, reader: Reader) -> None:
    reader.open.set()
    for _ in range(2):
        reader.open.clear()
        reader.asked.clear()
        logger.info("first")
        assert reader.asked.wait(5)
        for number in range(4):
            logger.info("%s", number)
        reader.open.set()
        flush(logger)
        flush(logger)

    assert [line for line in reader.lines if "dropped" in line] == [
        "1 log lines were dropped: their reader was too slow"
    ] * 2


def test_a_line_after_the_end_is_written(logger: logging.Logger, reader: Reader) -> None:
    reader.open.set()
    logger.info("before")
    logger.handlers[0].close()  # as `logging.config` does
    logger.info("after")
    flush(logger)
    assert reader.lines == ["before", "after"]


def lines_of(count: int) -> str:
    """A program that logs this number of lines."""
    start = "import otel; otel.configure_logging(); log = otel.get_logger('a')"
    return f"{start}\nfor _ in range({count}): log.info('x' * 100)"


def test_a_process_whose_standard_error_is_not_read_works_and_ends() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", lines_of(5_000) + "\nprint('done', flush=True)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        try:
            assert process.stdout.readline() == b"done\n"
            assert process.wait(20) == 0
        finally:
            process.kill()
        assert len(process.stderr.read()) >= PIPE // 2


def test_the_end_of_a_process_writes_every_line() -> None:
    ended = subprocess.run([sys.executable, "-c", lines_of(2_000)], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0
    assert ended.stderr.count("x" * 100) == 2_000
