"""Log lines: both formats, the IDs on them, and the libraries' loggers."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

import otel
from otel.testing import capture_spans

LIBRARIES = ("_granian", "granian.access", "huggingface_hub", "litestar", "transformers", "httpx", "opentelemetry")


def flush() -> None:
    """Wait until the lines logged so far are written."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class Stderr(io.TextIOWrapper):
    """A stream in memory that encodes like the interpreter's own."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    def getvalue(self) -> str:
        flush()
        return self._bytes.getvalue().decode()


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stderr]:
    """Standard error, with this process's logging restored afterwards."""
    root = logging.getLogger()
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    before = [(logger.handlers[:], logger.level, logger.__class__, logger.propagate) for logger in loggers]
    root_before = (root.handlers[:], root.level)
    stream = Stderr()
    # Not sys.stderr itself: pytest replaces it between a fixture and its test.
    monkeypatch.setattr("otel._logging.configuration.sys", SimpleNamespace(stderr=stream))
    yield stream
    logging.captureWarnings(False)
    structlog.reset_defaults()
    root.handlers[:], root.level = root_before
    for logger, (handlers, level, kind, propagate) in zip(loggers, before, strict=True):
        logger.__class__ = kind
        logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


def lines(stream: Stderr) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_is_one_object_a_line_for_our_loggers_and_the_libraries(stderr: Stderr) -> None:
    otel.configure_logging("info", "json")
    otel.get_logger("server.app").info("model is ready", model="qwen", seconds=1.5)
    logging.getLogger("litestar").warning("slow %s", "handler")

    ours, theirs = lines(stderr)
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "message": "model is ready",
        "level": "info",
        "logger": "server.app",
        "model": "qwen",
        "seconds": 1.5,
    }
    assert theirs["message"] == "slow handler"
    assert theirs["level"] == "warning"
    assert theirs["logger"] == "litestar"


@pytest.mark.parametrize("emit", [lambda: otel.get_logger("a").info("x"), lambda: logging.getLogger("a").info("x")])
def test_lines_carry_request_trace_and_span_ids(stderr: Stderr, emit: Callable[[], None]) -> None:
    otel.configure_logging("info", "json")
    token = otel.request_id.set("req-1")
    with capture_spans() as spans:
        span = otel.start_server_span("GET", "/", {})
        with span.use():
            emit()
        span.end()
    otel.request_id.reset(token)
    emit()

    inside, outside = lines(stderr)
    context = spans.one("GET").context
    assert context is not None
    assert inside["request_id"] == "req-1"
    assert inside["trace_id"] == f"{context.trace_id:032x}"
    assert inside["span_id"] == f"{context.span_id:016x}"
    assert not {"request_id", "trace_id", "span_id"} & outside.keys()


def test_the_callers_trace_id_is_logged_without_an_exporter(stderr: Stderr) -> None:
    otel.configure_logging("info", "json")
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with otel.start_server_span("GET", "/", {"traceparent": header}).use():
        otel.get_logger("a").info("x")
    assert lines(stderr)[0]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


def test_console_lines_are_text_and_plain_off_a_terminal(stderr: Stderr) -> None:
    otel.configure_logging("info", "console")
    token = otel.request_id.set("req-1")
    otel.get_logger("server.app").info("model is ready", model="qwen")
    otel.request_id.reset(token)

    line = stderr.getvalue()
    assert "model is ready" in line
    assert "model=qwen" in line
    assert "request_id=req-1" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_console_lines_are_coloured_on_a_terminal(
    stderr: Stderr, monkeypatch: pytest.MonkeyPatch, no_color: str | None, coloured: bool
) -> None:
    monkeypatch.setattr(stderr, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    otel.configure_logging("info", "console")
    otel.get_logger("a").info("x")
    assert ("\x1b[" in stderr.getvalue()) is coloured


@pytest.mark.parametrize("fmt", ["console", "json"])
def test_a_stack_trace_has_no_local_variables(stderr: Stderr, fmt: otel.LogFormat) -> None:
    otel.configure_logging("info", fmt)
    prompt = "".join(["the ", "secret ", "prompt"])
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        otel.get_logger("a").exception("unforeseen", length=len(prompt))
        logging.getLogger("b").exception("unforeseen")

    written = stderr.getvalue()
    assert written.count("RuntimeError: broken") == 2
    assert written.count("test_logging.py") == 2
    assert "the secret prompt" not in written


def test_the_level_holds_for_both_kinds_of_logger(stderr: Stderr) -> None:
    otel.configure_logging("warning", "json")
    for logger in (otel.get_logger("a"), logging.getLogger("b")):
        logger.info("no")
        logger.warning("yes")
    assert [line["message"] for line in lines(stderr)] == ["yes", "yes"]


def test_chatty_libraries_are_heard_from_warnings_on(stderr: Stderr) -> None:
    otel.configure_logging("debug", "json")
    for name in ("_granian", "httpx", "opentelemetry.sdk.trace"):
        logging.getLogger(name).info("ASGI transport error")
        logging.getLogger(name).warning("worker died")
    assert [line["message"] for line in lines(stderr)] == ["worker died"] * 3


@pytest.mark.parametrize("first", [True, False])
def test_a_library_that_sets_up_its_own_handler_cannot_bypass_or_repeat(stderr: Stderr, first: bool) -> None:
    if not first:
        otel.configure_logging("info", "json")
    for name in ("transformers", "huggingface_hub"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.StreamHandler(stderr))
        logger.propagate = False
    if first:
        otel.configure_logging("info", "json")
    for name in ("transformers", "huggingface_hub"):
        logging.getLogger(f"{name}.utils").warning("deprecated")
    assert [line["message"] for line in lines(stderr)] == ["deprecated", "deprecated"]


def test_granians_own_configuration_does_not_bypass_ours(stderr: Stderr) -> None:
    from granian.log import LogLevels
    from granian.log import configure_logging as granian_configure

    otel.configure_logging("info", "json")
    granian_configure(LogLevels.warning)
    logging.getLogger("_granian").warning("worker died")
    assert [line["message"] for line in lines(stderr)] == ["worker died"]


def test_configuring_again_replaces_and_does_not_repeat(stderr: Stderr) -> None:
    logger = otel.get_logger("made.before")
    otel.configure_logging("info", "console")
    otel.configure_logging("info", "json")
    otel.configure_logging("info", "json")
    logger.info("once")
    assert [line["message"] for line in lines(stderr)] == ["once"]


def test_fields_of_the_process_are_on_every_line(stderr: Stderr) -> None:
    otel.configure_logging("info", "json", engine="qwen")
    otel.get_logger("a").info("x")
    worker = threading.Thread(target=lambda: logging.getLogger("b").info("y"))
    worker.start()
    worker.join()
    assert [line["engine"] for line in lines(stderr)] == ["qwen", "qwen"]


def test_warnings_become_log_lines(stderr: Stderr) -> None:
    logging.captureWarnings(False)  # the block turns it on again, over pytest's own capture
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        otel.configure_logging("info", "json")
        warnings.warn("old tokenizer", UserWarning, stacklevel=1)
    (line,) = lines(stderr)
    assert line["logger"] == "py.warnings"
    assert "old tokenizer" in line["message"]


@pytest.mark.parametrize(
    "value", ["\ud800", b"\xff", object(), {1: {2}}, 10**400], ids=["surrogate", "bytes", "object", "set", "big"]
)
@pytest.mark.parametrize("fmt", ["console", "json"])
def test_any_value_can_be_logged(
    stderr: Stderr, fmt: otel.LogFormat, value: object, capfd: pytest.CaptureFixture[str]
) -> None:
    otel.configure_logging("info", fmt)
    otel.get_logger("a").info("odd", value=value)
    assert "odd" in stderr.getvalue()
    assert capfd.readouterr().err == ""  # the standard library reports a line that it cannot write here


@pytest.mark.parametrize(("level", "fmt"), [("loud", "json"), ("info", "xml")])
def test_an_unknown_level_or_format_is_refused_by_name(stderr: Stderr, level: str, fmt: str) -> None:
    with pytest.raises(ValueError, match=r"'(loud|xml)'"):
        otel.configure_logging(level, fmt)  # type: ignore[arg-type]


def test_a_file_gets_the_same_lines_without_colours_and_follows_a_rotation(
    stderr: Stderr, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stderr, "isatty", lambda: True)
    file = tmp_path / "logs" / "server.log"

    otel.configure_logging("info", "console", str(file))
    otel.get_logger("server.app").info("model is ready", model="qwen")
    flush()
    file.rename(tmp_path / "older.log")
    otel.get_logger("server.app").info("request", method="GET", path="/health", status=200)

    assert "\x1b[" in stderr.getvalue()
    assert "model is ready" in (tmp_path / "older.log").read_text()
    assert "GET /health 200" in file.read_text()
    assert "\x1b" not in (tmp_path / "older.log").read_text() + file.read_text()


def test_a_file_is_added_to_and_a_later_configuration_leaves_it(stderr: Stderr, tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    file.write_text("earlier\n")

    otel.configure_logging("info", "json", str(file))
    logging.getLogger("litestar").warning("slow %s", "handler")
    otel.configure_logging("info", "json")
    logging.getLogger("litestar").warning("later")

    earlier, line = file.read_text().splitlines()
    assert earlier == "earlier"
    assert json.loads(line)["message"] == "slow handler"
